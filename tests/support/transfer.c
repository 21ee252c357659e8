/* SPDX-License-Identifier: MIT */
#include "support/transfer.h"

#include <stdlib.h>
#include <string.h>

int transfer_out(struct guest *guest, struct rs_stream *stream)
{
	return rs_migrate_out(guest->state, stream, &guest_vm_ops, guest);
}

int transfer_in(struct guest *guest, struct rs_stream *stream)
{
	return rs_migrate_in(guest->state, stream, &guest_vm_ops, guest);
}

static void *end_main(void *argument)
{
	struct transfer_end *end = argument;

	end->result = end->work(end->guest, end->stream);
	if (end->result < 0)
		rs_error_get(end->guest->state, RS_ERROR_OF_MIGRATION, &end->error);
	/* A peer that still waits learns of the end. */
	rs_stream_close(end->stream, NULL);
	atomic_store(&end->ended, true);
	return NULL;
}

void transfer_end_start(struct transfer_end *end, struct guest *guest, struct rs_stream *stream,
			int (*work)(struct guest *guest, struct rs_stream *stream))
{
	memset(end, 0, sizeof(*end));
	end->guest = guest;
	end->stream = stream;
	end->work = work;
	if (pthread_create(&end->thread, NULL, end_main, end) != 0)
		abort();
}

void transfer_end_join(struct transfer_end *end)
{
	pthread_join(end->thread, NULL);
}

void transfer_run(struct transfer *transfer, struct guest *from, struct rs_stream *out,
		  struct guest *to, struct rs_stream *in)
{
	transfer_end_start(&transfer->in, to, in, transfer_in);
	transfer_end_start(&transfer->out, from, out, transfer_out);
	transfer_end_join(&transfer->out);
	transfer_end_join(&transfer->in);
}
