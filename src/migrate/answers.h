/* SPDX-License-Identifier: MIT */
/*
 * What the destination says to the source. In postcopy several threads have something to say: the one
 * that takes faults asks for pages, those that read answer, the migrating one tells how the guest fares. While a
 * connection is broken nothing is said, and nobody minds.
 */
#ifndef RS_MIGRATE_ANSWERS_H
#define RS_MIGRATE_ANSWERS_H

#include "migrate/outer_io.h"

struct rs_answers {
	pthread_mutex_t lock;
	/* guarded by lock */
	struct rs_stream *stream; /* NULL: there is nobody to hear it */
	uint64_t asked_in; /* ram_address of the region of the last request; UINT64_MAX: none */
};

/* 0 or -ENOMEM. */
int rs_answers_init(struct rs_answers *answers, struct rs_stream *stream);
void rs_answers_fini(struct rs_answers *answers);

/* Another connection, or NULL: none. */
void rs_answers_use(struct rs_answers *answers, struct rs_stream *stream);

/* Any thread. A failure is the stream's, whose reader finds out. */
void rs_answers_put(struct rs_answers *answers, enum rs_return_message message, const void *payload,
		    size_t bytes);
void rs_answers_put_number(struct rs_answers *answers, enum rs_return_message message,
			   uint32_t number);
void rs_answers_put_text(struct rs_answers *answers, enum rs_return_message message,
			 const char *text);

/* Ask for whole host pages of a region. */
void rs_answers_request(struct rs_answers *answers, const struct rs_region *region, uint64_t offset,
			uint64_t bytes);

/* What has come of a region. */
void rs_answers_put_bitmap(struct rs_answers *answers, const struct rs_region *region);

#endif
