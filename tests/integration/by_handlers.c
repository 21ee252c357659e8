/* SPDX-License-Identifier: MIT */
#include "by_handlers.h"

/* Before each body. */
enum { NO_BODY, A_BODY };

static int iterate(struct guest *guest, struct rs_stream *stream)
{
	uint64_t left = 1, postcopy;
	int result = 0;

	while (result >= 0 && left > 0) {
		rs_stream_put_u8(stream, A_BODY);
		result = rs_save_iterate(guest->state, stream);
		if (result == 0)
			result = rs_save_throttle(guest->state, stream);
		if (result < 0)
			break;
		result = rs_save_pending(guest->state, RS_PENDING_ESTIMATE, &left, NULL);
		if (result < 0 || left > 0)
			continue;
		result = rs_save_pending(guest->state, RS_PENDING_EXACT, &left, &postcopy);
		if (guest->hook != NULL)
			guest->hook(guest->hook_opaque, guest, GUEST_PASS);
	}
	return result;
}

int by_handlers_out(struct guest *guest, struct rs_stream *stream)
{
	int result;

	rs_stream_put_u8(stream, A_BODY);
	result = rs_save_setup(guest->state, stream);
	if (result == 0)
		result = iterate(guest, stream);
	if (result >= 0)
		result = guest_stop(guest);
	if (result == 0) {
		rs_stream_put_u8(stream, A_BODY);
		result = rs_save_complete(guest->state, stream);
	}
	rs_save_cleanup(guest->state);
	rs_stream_put_u8(stream, NO_BODY);
	return result != 0 ? result : rs_stream_flush(stream);
}

int by_handlers_in(struct guest *guest, struct rs_stream *stream)
{
	int result = rs_load_setup(guest->state, &guest_load_ops, guest);

	while (result == 0 && rs_stream_get_u8(stream) == A_BODY)
		result = rs_load(guest->state, stream, RS_RAM_SECTION_VERSION);
	rs_load_cleanup(guest->state);
	if (result == 0)
		result = rs_stream_error(stream, NULL);
	return result != 0 ? result : guest_resume(guest);
}
