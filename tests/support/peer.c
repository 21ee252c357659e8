/* SPDX-License-Identifier: MIT */
#include "support/peer.h"

#include <stdlib.h>
#include <string.h>

void peer_init(struct peer *peer, const uint8_t *input, size_t bytes, size_t max_read)
{
	*peer = (struct peer){ .bytes = bytes, .max_read = max_read };
	peer->input = malloc(bytes + 1);
	if (peer->input == NULL)
		abort();
	if (bytes > 0)
		memcpy(peer->input, input, bytes);
}

void peer_fini(struct peer *peer)
{
	free(peer->input);
}

/* In an offer the session id stands behind its name. */
static void find_session(struct peer *peer)
{
	size_t have = peer->written < sizeof(peer->head) ? peer->written : sizeof(peer->head);
	const uint8_t *name = memmem(peer->head, have, "session", 7);

	if (name == NULL || (size_t)(name + 7 - peer->head) + PEER_SESSION_BYTES > have)
		return;
	memcpy(peer->session, name + 7, PEER_SESSION_BYTES);
	peer->has_session = 1;
}

static void fill_session_in(struct peer *peer)
{
	uint8_t *at = peer->input;

	find_session(peer);
	if (!peer->has_session)
		return;
	const uint8_t *end = at + peer->bytes;

	while ((at = memmem(at, (size_t)(end - at), PEER_SESSION_MARK, PEER_SESSION_BYTES)) !=
	       NULL) {
		memcpy(at, peer->session, PEER_SESSION_BYTES);
		at += PEER_SESSION_BYTES;
	}
}

static ssize_t peer_readv(void *opaque, const struct iovec *iov, int count)
{
	struct peer *peer = opaque;
	size_t left = peer->bytes - peer->at, done = 0;

	if (!peer->has_session)
		fill_session_in(peer);
	if (peer->max_read != 0 && left > peer->max_read)
		left = peer->max_read;
	for (int i = 0; i < count && left > 0; i++) {
		size_t bytes = iov[i].iov_len < left ? iov[i].iov_len : left;

		memcpy(iov[i].iov_base, peer->input + peer->at, bytes);
		peer->at += bytes;
		left -= bytes;
		done += bytes;
	}
	return (ssize_t)done;
}

static void keep_tail(struct peer *peer, const uint8_t *data, size_t bytes)
{
	size_t kept = sizeof(peer->tail);

	if (bytes >= kept) {
		memcpy(peer->tail, data + bytes - kept, kept);
		return;
	}
	memmove(peer->tail, peer->tail + bytes, kept - bytes);
	memcpy(peer->tail + kept - bytes, data, bytes);
}

static ssize_t peer_writev(void *opaque, const struct iovec *iov, int count)
{
	struct peer *peer = opaque;
	size_t done = 0;

	for (int i = 0; i < count; i++) {
		size_t at = peer->written + done, bytes = iov[i].iov_len;

		if (at < sizeof(peer->head))
			memcpy(peer->head + at, iov[i].iov_base,
			       bytes < sizeof(peer->head) - at ? bytes : sizeof(peer->head) - at);
		keep_tail(peer, iov[i].iov_base, bytes);
		done += bytes;
	}
	peer->written += done;
	return (ssize_t)done;
}

/* Nothing here ever blocks; the stream itself refuses what comes after its shutdown. */
static void peer_shutdown(void *opaque)
{
	(void)opaque;
}

static const struct rs_stream_ops peer_ops = {
	.size = sizeof(peer_ops),
	.readv = peer_readv,
	.writev = peer_writev,
	.shutdown = peer_shutdown,
};

struct rs_stream *peer_connect(struct peer *peer, unsigned flags)
{
	struct rs_stream *stream;

	if (rs_stream_create(&peer_ops, peer, flags, &stream) != 0)
		abort();
	return stream;
}
