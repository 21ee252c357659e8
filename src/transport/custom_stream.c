/* SPDX-License-Identifier: MIT */
/* Streams over the embedder's callbacks. */
#include "transport/stream_core.h"

#include "base/versioned.h"

#include <errno.h>
#include <stdlib.h>

struct custom {
	struct rs_stream_ops ops;
	void *opaque;
};

static ssize_t custom_readv(struct rs_stream *stream, const struct iovec *iov, int count)
{
	struct custom *custom = stream->backend_data;

	return custom->ops.readv(custom->opaque, iov, count);
}

static ssize_t custom_writev(struct rs_stream *stream, const struct iovec *iov, int count)
{
	struct custom *custom = stream->backend_data;

	return custom->ops.writev(custom->opaque, iov, count);
}

static void custom_shutdown(struct rs_stream *stream)
{
	struct custom *custom = stream->backend_data;

	custom->ops.shutdown(custom->opaque);
}

static int custom_close(struct rs_stream *stream, struct rs_error *error)
{
	struct custom *custom = stream->backend_data;

	(void)error;
	if (custom->ops.close != NULL)
		custom->ops.close(custom->opaque);
	free(custom);
	return 0;
}

static const struct rs_backend custom_backend = {
	.readv = custom_readv,
	.writev = custom_writev,
	.shutdown = custom_shutdown,
	.close = custom_close,
};

static bool ops_suffice(const struct rs_stream_ops *ops, unsigned flags)
{
	if ((flags & RS_STREAM_READ) != 0 && ops->readv == NULL)
		return false;
	if ((flags & RS_STREAM_WRITE) != 0 && ops->writev == NULL)
		return false;
	return ops->shutdown != NULL;
}

int rs_stream_create(const struct rs_stream_ops *ops, void *opaque, unsigned flags,
		     struct rs_stream **stream)
{
	struct custom *custom = calloc(1, sizeof(*custom));
	int code;

	if (custom == NULL)
		return -ENOMEM;
	custom->opaque = opaque;
	code = rs_versioned_copy(&custom->ops, sizeof(custom->ops), ops, ops->size);
	if (code == 0 && !ops_suffice(&custom->ops, flags))
		code = -EINVAL;
	if (code == 0)
		code = rs_stream_new(&custom_backend, custom, flags, stream);
	if (code != 0)
		free(custom);
	return code;
}
