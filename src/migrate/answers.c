/* SPDX-License-Identifier: MIT */
#include "migrate/answers.h"

#include "base/bytes.h"
#include "base/checked.h"
#include "postcopy/received_map.h"
#include "wire/postcopy.h"

#include <string.h>

#define NOTHING_ASKED UINT64_MAX

int rs_answers_init(struct rs_answers *answers, struct rs_stream *stream)
{
	*answers = (struct rs_answers){ .stream = stream, .asked_in = NOTHING_ASKED };
	return pthread_mutex_init(&answers->lock, NULL) == 0 ? 0 : -ENOMEM;
}

void rs_answers_fini(struct rs_answers *answers)
{
	pthread_mutex_destroy(&answers->lock);
}

void rs_answers_use(struct rs_answers *answers, struct rs_stream *stream)
{
	pthread_mutex_lock(&answers->lock);
	answers->stream = stream;
	answers->asked_in = NOTHING_ASKED;
	pthread_mutex_unlock(&answers->lock);
}

void rs_answers_put(struct rs_answers *answers, enum rs_return_message message, const void *payload,
		    size_t bytes)
{
	pthread_mutex_lock(&answers->lock);
	if (answers->stream != NULL) {
		rs_outer_put_return(answers->stream, message, payload, bytes);
		rs_stream_flush(answers->stream);
	}
	pthread_mutex_unlock(&answers->lock);
}

void rs_answers_put_number(struct rs_answers *answers, enum rs_return_message message,
			   uint32_t number)
{
	uint8_t payload[4];

	rs_put_be32(payload, number);
	rs_answers_put(answers, message, payload, sizeof(payload));
}

void rs_answers_put_text(struct rs_answers *answers, enum rs_return_message message,
			 const char *text)
{
	rs_answers_put(answers, message, text, rs_min_u64(strlen(text), RS_RETURN_MAX_BYTES));
}

void rs_answers_request(struct rs_answers *answers, const struct rs_region *region, uint64_t offset,
			uint64_t bytes)
{
	uint8_t payload[RS_PAGE_REQUEST_MAX_BYTES];
	struct rs_page_request request = { .start = offset, .bytes = (uint32_t)bytes };

	pthread_mutex_lock(&answers->lock);
	if (answers->stream != NULL) {
		if (answers->asked_in != region->ram_address) {
			request.name = region->name;
			request.name_bytes = region->name_bytes;
		}
		answers->asked_in = region->ram_address;
		rs_outer_put_return(answers->stream,
				    request.name != NULL ? RS_RETURN_REQ_PAGES_ID
							 : RS_RETURN_REQ_PAGES,
				    payload, rs_page_request_write(payload, &request));
		rs_stream_flush(answers->stream);
	}
	pthread_mutex_unlock(&answers->lock);
}

void rs_answers_put_bitmap(struct rs_answers *answers, const struct rs_region *region)
{
	uint8_t name[RS_BITMAP_NAME_MAX_BYTES];

	pthread_mutex_lock(&answers->lock);
	if (answers->stream != NULL) {
		rs_outer_put_return(answers->stream, RS_RETURN_RECV_BITMAP, name,
				    rs_bitmap_name_write(name, region->name));
		rs_received_map_put(answers->stream, region);
		rs_stream_flush(answers->stream);
	}
	pthread_mutex_unlock(&answers->lock);
}
