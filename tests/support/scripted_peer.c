/* SPDX-License-Identifier: MIT */
#include "support/scripted_peer.h"

#include "support/fake_stream.h"
#include "support/plain_region.h"
#include "ram/state.h"
#include "wire/feature.h"

#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u

static const char session_text[] = "a session of ours";

void scripted_peer_open(struct scripted_peer *peer)
{
	memset(peer, 0, sizeof(*peer));
	peer->state = plain_state(PAGE);
	peer->memory = plain_memory_map(PEER_PAGES * PAGE);
	memset(peer->memory + PAGE, 0x55, PAGE);
	peer->region =
	    plain_region_add(peer->state, "r", peer->memory, (uint64_t)PEER_PAGES * PAGE, 0);
	peer->vm.state = peer->state;
	memcpy(peer->session, session_text, sizeof(peer->session));
	scripted_peer_connect(peer);
}

void scripted_peer_close(struct scripted_peer *peer)
{
	scripted_peer_hang_up(peer);
	rs_state_destroy(peer->state);
	rs_stream_close(peer->stream, NULL);
	plain_memory_unmap(peer->memory, (uint64_t)PEER_PAGES * PAGE);
}

void scripted_peer_connect(struct scripted_peer *peer)
{
	scripted_peer_hang_up(peer);
	rs_stream_close(peer->stream, NULL);
	assert_int_equal(fake_stream_pair(NULL, NULL, &peer->stream, &peer->peer), 0);
	/* A test must end even if the library is wrong. */
	rs_stream_set_stall_timeout(peer->peer, 30000);
}

void scripted_peer_hang_up(struct scripted_peer *peer)
{
	rs_stream_close(peer->peer, NULL);
	peer->peer = NULL;
}

void scripted_peer_start_out(struct scripted_peer *peer)
{
	peer->vm.journal[0] = '\0';
	assert_int_equal(
	    rs_migrate_start_out(peer->state, peer->stream, &journal_vm_ops, &peer->vm), 0);
}

void scripted_peer_start_in(struct scripted_peer *peer)
{
	peer->vm.journal[0] = '\0';
	assert_int_equal(rs_migrate_start_in(peer->state, peer->stream, &journal_vm_ops, &peer->vm),
			 0);
}

void scripted_peer_say(struct scripted_peer *peer, const char *text)
{
	uint8_t bytes[32768];

	rs_stream_put_bytes(peer->peer, bytes, assemble(bytes, sizeof(bytes), text));
	/* The migration may have gone away by itself; then nobody listens. */
	rs_stream_flush(peer->peer);
}

void scripted_peer_expect(struct scripted_peer *peer, const char *text)
{
	uint8_t expected[32768], bytes[32768];
	size_t count = assemble(expected, sizeof(expected), text);

	assert_int_equal(rs_stream_get_bytes(peer->peer, bytes, count), 0);
	assert_memory_equal(bytes, expected, count);
}

static unsigned by_parameter(const struct scripted_peer *peer, enum rs_param_id param,
			     enum rs_feature_id feature)
{
	return rs_params_number(&peer->state->params, param) != 0 ? RS_FEATURE_BIT(feature) : 0;
}

void scripted_peer_expect_features(struct scripted_peer *peer)
{
	uint8_t list[RS_FEATURES_MAX_BYTES];
	uint16_t bytes = rs_stream_get_be16(peer->peer);
	struct rs_features features;
	struct rs_error error = { 0 };

	assert_true(bytes <= sizeof(list));
	assert_int_equal(rs_stream_get_bytes(peer->peer, list, bytes), 0);
	assert_int_equal(rs_features_parse(list, bytes, &features, &error), 0);
	assert_string_equal(features.unknown, "");
	assert_int_equal(features.present,
			 RS_FEATURE_BIT(RS_FEATURE_SESSION) | RS_FEATURE_BIT(RS_FEATURE_RUNS) |
			     RS_FEATURE_BIT(RS_FEATURE_DEVICE_LENGTHS) |
			     RS_FEATURE_BIT(RS_FEATURE_HANDOVER) |
			     by_parameter(peer, RS_PARAM_COMPRESS, RS_FEATURE_COMPRESS) |
			     by_parameter(peer, RS_PARAM_POSTCOPY_RAM, RS_FEATURE_POSTCOPY) |
			     by_parameter(peer, RS_PARAM_POSTCOPY_PREEMPT, RS_FEATURE_PREEMPT));
	memcpy(peer->session, features.session, sizeof(peer->session));
}

void scripted_peer_say_features(struct scripted_peer *peer, const char *which)
{
	static const struct {
		char letter;
		enum rs_feature_id id;
	} letters[] = {
		{ 's', RS_FEATURE_SESSION },  { 'l', RS_FEATURE_DEVICE_LENGTHS },
		{ 'r', RS_FEATURE_RUNS },     { 'h', RS_FEATURE_HANDOVER },
		{ 'c', RS_FEATURE_COMPRESS }, { 'p', RS_FEATURE_POSTCOPY },
		{ 'e', RS_FEATURE_PREEMPT },
	};
	uint8_t list[RS_FEATURES_MAX_BYTES];
	struct rs_features features = { 0 };
	size_t bytes;

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (strchr(which, letters[i].letter) != NULL)
			features.present |= RS_FEATURE_BIT(letters[i].id);
	memcpy(features.session, peer->session, sizeof(features.session));
	bytes = rs_features_write(list, &features);
	rs_stream_put_be16(peer->peer, (uint16_t)bytes);
	rs_stream_put_bytes(peer->peer, list, bytes);
	rs_stream_flush(peer->peer);
}
