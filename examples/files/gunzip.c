/* SPDX-License-Identifier: MIT */
#include "files/gunzip.h"
#include "text/fail.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* As much as rs_stream_peek() gives. */
#define PACKED_BYTES 4096u
/* For inflateInit2(): the largest window, and a gzip header around. */
#define WINDOW_BITS (15 + 16)

struct gunzip {
	struct rs_stream *packed;
	z_stream z;
	bool inside; /* in a piece, which has begun and not ended */
	atomic_bool shut;
	struct rs_error error;
};

static bool is_magic(const uint8_t *data, ssize_t bytes)
{
	return bytes >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

bool gunzip_recognise(struct rs_stream *packed)
{
	const uint8_t *data;
	ssize_t bytes = rs_stream_peek(packed, &data, 2);

	return is_magic(data, bytes);
}

/* Between two pieces: another one, the end, or zeros that fill up the last block of a tape. */
static int begin_piece(struct gunzip *gunzip)
{
	const uint8_t *data;
	ssize_t bytes;

	for (;;) {
		bytes = rs_stream_peek(gunzip->packed, &data, 2);
		if (bytes <= 0 || data[0])
			break;
		rs_stream_skip(gunzip->packed, 1);
	}
	if (bytes <= 0)
		return (int)bytes;
	if (!is_magic(data, bytes))
		return fail(&gunzip->error, -EBADMSG,
			    "gzip: something else follows behind %llu packed bytes",
			    (unsigned long long)rs_stream_bytes_read(gunzip->packed));
	inflateReset(&gunzip->z);
	gunzip->inside = true;
	return 1;
}

static int check_inflated(struct gunzip *gunzip, int result)
{
	const z_stream *z = &gunzip->z;

	if (result == Z_OK || result == Z_BUF_ERROR)
		return 0;
	gunzip->inside = result != Z_STREAM_END;
	if (!gunzip->inside)
		return 0;
	if (result == Z_MEM_ERROR)
		return fail(&gunzip->error, -ENOMEM, "gzip: out of memory");
	return fail(&gunzip->error, -EBADMSG, "gzip: damaged at packed byte %llu: %s",
		    (unsigned long long)rs_stream_bytes_read(gunzip->packed),
		    z->msg ? z->msg : "a dictionary is needed");
}

/* Unpack some of what comes next into [to, to + bytes). Returns how much that was, perhaps none. */
static ssize_t inflate_some(struct gunzip *gunzip, void *to, size_t bytes)
{
	z_stream *z = &gunzip->z;
	const uint8_t *data;
	ssize_t have = rs_stream_peek(gunzip->packed, &data, PACKED_BYTES);
	uInt room = bytes < INT_MAX ? (uInt)bytes : INT_MAX;
	int result;

	if (have < 0)
		return have;
	if (!have)
		return fail(&gunzip->error, -EBADMSG,
			    "gzip: the packed data breaks off after %llu bytes",
			    (unsigned long long)rs_stream_bytes_read(gunzip->packed));
	z->next_in = (z_const Bytef *)data;
	z->avail_in = (uInt)have;
	z->next_out = to;
	z->avail_out = room;
	result = inflate(z, Z_NO_FLUSH);
	rs_stream_skip(gunzip->packed, (uint64_t)have - z->avail_in);
	result = check_inflated(gunzip, result);
	return result ? result : (ssize_t)(room - z->avail_out);
}

static ssize_t gunzip_readv(void *opaque, const struct iovec *iov, int count)
{
	struct gunzip *gunzip = opaque;
	ssize_t got = 0;

	for (; count > 1 && !iov->iov_len; count--)
		iov++;
	while (!got) {
		if (gunzip->shut)
			return -ECANCELED;
		if (!gunzip->inside) {
			int begun = begin_piece(gunzip);

			if (begun <= 0)
				return begun;
		}
		got = inflate_some(gunzip, iov->iov_base, iov->iov_len);
	}
	return got;
}

/* A read that waits for the packed stream goes on waiting: nobody here shuts down meanwhile. */
static void gunzip_shutdown(void *opaque)
{
	struct gunzip *gunzip = opaque;

	gunzip->shut = true;
}

static void gunzip_close(void *opaque)
{
	struct gunzip *gunzip = opaque;

	rs_stream_close(gunzip->packed, NULL);
	inflateEnd(&gunzip->z);
	free(gunzip);
}

int gunzip_open(struct rs_stream *packed, struct gunzip **gunzip, struct rs_stream **stream)
{
	static const struct rs_stream_ops ops = {
		.size = sizeof(ops),
		.readv = gunzip_readv,
		.shutdown = gunzip_shutdown,
		.close = gunzip_close,
	};
	struct gunzip *made = calloc(1, sizeof(*made));
	int ret = -ENOMEM;

	if (!made)
		return ret;
	made->packed = packed;
	if (inflateInit2(&made->z, WINDOW_BITS) == Z_OK) {
		ret = rs_stream_create(&ops, made, RS_STREAM_READ, stream);
		if (!ret)
			*gunzip = made;
		else
			inflateEnd(&made->z);
	}
	if (ret)
		free(made);
	return ret;
}

int gunzip_error(const struct gunzip *gunzip, struct rs_error *error)
{
	if (gunzip->error.code)
		*error = gunzip->error;
	return gunzip->error.code;
}
