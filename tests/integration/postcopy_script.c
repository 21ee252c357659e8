/* SPDX-License-Identifier: MIT */
#include "postcopy_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#define PAGE 4096u

/* ---- the end that is real ------------------------------------------------------------------ */

static void hook(struct journal_vm *vm, const char *word)
{
	struct postcopy_script *script = vm->hook_opaque;

	if (script->source && strcmp(word, "active") == 0)
		assert_int_equal(rs_migrate_start_postcopy(vm->state), 0);
	pthread_mutex_lock(&script->lock);
	if (strcmp(word, "postcopy-active") == 0)
		script->moved = true;
	if (strcmp(word, "postcopy-paused") == 0) {
		script->pauses++;
		snprintf(script->why, sizeof(script->why), "%s", vm->failure);
	}
	pthread_cond_broadcast(&script->changed);
	pthread_mutex_unlock(&script->lock);
}

/* Sockets: a shutdown at one end is seen at the other one. */
static void connect_ends(struct postcopy_script *script)
{
	struct scripted_peer *peer = &script->peer;
	int ends[2];

	scripted_peer_hang_up(peer);
	rs_stream_close(peer->stream, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(rs_stream_from_fd(ends[0], RS_STREAM_TWO_WAY, &peer->stream), 0);
	assert_int_equal(rs_stream_from_fd(ends[1], RS_STREAM_TWO_WAY, &peer->peer), 0);
	/* A test must end even if the library is wrong. */
	rs_stream_set_stall_timeout(peer->peer, 30000);
}

void postcopy_script_open(struct postcopy_script *script, bool native, bool source)
{
	struct scripted_peer *peer = &script->peer;

	memset(script, 0, sizeof(*script));
	pthread_mutex_init(&script->lock, NULL);
	pthread_cond_init(&script->changed, NULL);
	script->native = native;
	script->source = source;
	scripted_peer_open(peer);
	connect_ends(script);
	peer->vm.hook = hook;
	peer->vm.hook_opaque = script;
	assert_int_equal(rs_param_set(peer->state, "postcopy-ram", "on"), 0);
	if (!native)
		assert_int_equal(rs_param_set(peer->state, "machine", "pc-i440fx-9.0"), 0);
	if (source) {
		scripted_peer_start_out(peer);
		return;
	}
	memset(peer->memory, 0x11, (size_t)PEER_PAGES * PAGE);
	scripted_peer_start_in(peer);
}

void postcopy_script_close(struct postcopy_script *script)
{
	scripted_peer_close(&script->peer);
	pthread_cond_destroy(&script->changed);
	pthread_mutex_destroy(&script->lock);
}

void postcopy_script_paused(struct postcopy_script *script, unsigned pauses, const char *says)
{
	pthread_mutex_lock(&script->lock);
	while (script->pauses < pauses)
		pthread_cond_wait(&script->changed, &script->lock);
	assert_int_equal(script->pauses, pauses);
	if (strstr(script->why, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", script->why, says);
	pthread_mutex_unlock(&script->lock);
	assert_int_equal(rs_migrate_status(script->peer.state), RS_STATUS_POSTCOPY_PAUSED);
}

/* ---- talking ------------------------------------------------------------------------------- */

void postcopy_script_await(struct postcopy_script *script, const char *text)
{
	uint8_t wanted[256], last[256] = { 0 };
	size_t bytes = assemble(wanted, sizeof(wanted), text);

	for (size_t have = 0; have < bytes || memcmp(last, wanted, bytes) != 0; have++) {
		memmove(last, last + 1, bytes - 1);
		last[bytes - 1] = rs_stream_get_u8(script->peer.peer);
		if (rs_stream_error(script->peer.peer, NULL) != 0)
			fail_msg("the stream ended, and \"%s\" did not come", text);
	}
}

void postcopy_script_say(struct postcopy_script *script, const char *text)
{
	scripted_peer_say(&script->peer, text);
}

bool postcopy_script_hears(struct postcopy_script *script, const char *text)
{
	uint8_t wanted[256], bytes[256];
	size_t count = assemble(wanted, sizeof(wanted), text);

	return rs_stream_get_bytes(script->peer.peer, bytes, count) == 0 &&
	       memcmp(bytes, wanted, count) == 0;
}

static void put_header(struct postcopy_script *script, unsigned command)
{
	struct scripted_peer *peer = &script->peer;
	char text[64];

	snprintf(text, sizeof(text), PEER_HEADER "8:8 16:%x 16:10", command);
	scripted_peer_say(peer, text);
	rs_stream_put_bytes(peer->peer, peer->session, sizeof(peer->session));
	rs_stream_flush(peer->peer);
}

/* ---- a destination that is the script ------------------------------------------------------ */

static void source_begins(struct postcopy_script *script)
{
	if (script->native) {
		postcopy_script_await(script, PEER_OFFER);
		scripted_peer_expect_features(&script->peer);
		scripted_peer_say(&script->peer, "16:5253 ");
		scripted_peer_say_features(&script->peer, "slrhp");
	}
	postcopy_script_await(script, PS_ADVISE);
}

static void source_is_answered(struct postcopy_script *script, const char *text)
{
	postcopy_script_await(script, PS_ASK_BITMAP);
	postcopy_script_say(script, text);
}

static void source_finishes(struct postcopy_script *script)
{
	/* Nothing came, so all has to come. */
	source_is_answered(script, PS_BITMAP(0));
	postcopy_script_await(script, PS_RESUME);
	postcopy_script_say(script, PS_ACK);
	postcopy_script_await(script, "32:55555555 32:55555555 32:55555555 32:55555555");
	postcopy_script_await(script, PS_END);
	postcopy_script_say(script, PS_SHUT(0));
}

/* ---- a source that is the script ----------------------------------------------------------- */

static void destination_begins(struct postcopy_script *script)
{
	struct scripted_peer *peer = &script->peer;

	if (script->native) {
		scripted_peer_say(peer, PEER_HEADER PEER_OFFER);
		scripted_peer_say_features(peer, "slrhp");
		scripted_peer_expect(peer, "16:5253 ");
		scripted_peer_expect_features(peer);
		scripted_peer_say(peer, PS_ADVISE PS_LIST);
		return;
	}
	scripted_peer_say(peer,
			  "t:QEVM 32:3 8:7 32:d t:pc-i440fx-9.0 8:8 16:1 16:0 " PS_ADVISE PS_LIST);
}

static void destination_finishes(struct postcopy_script *script)
{
	static const uint8_t zeros[PAGE];
	struct scripted_peer *peer = &script->peer;
	uint8_t full[PAGE];

	postcopy_script_say(script, PS_ASK_BITMAP);
	postcopy_script_await(script, "16:5 16:2 s:r 64:8 ");
	postcopy_script_say(script, PS_RESUME);
	postcopy_script_await(script, PS_ACK);
	postcopy_script_say(script, PS_PAGE_0 PS_PAGE_1 PS_END);
	postcopy_script_await(script, PS_SHUT(0));
	memset(full, 0x55, sizeof(full));
	assert_memory_equal(peer->memory, zeros, PAGE);
	assert_memory_equal(peer->memory + PAGE, full, PAGE);
}

/* ---- both ---------------------------------------------------------------------------------- */

void postcopy_script_begin(struct postcopy_script *script)
{
	if (script->source)
		source_begins(script);
	else
		destination_begins(script);
}

void postcopy_script_arrive(struct postcopy_script *script)
{
	if (!script->native)
		postcopy_script_say(script, PS_PONG(1));
	postcopy_script_await(script, PS_PING(5));
}

void postcopy_script_switch(struct postcopy_script *script)
{
	if (script->source) {
		postcopy_script_say(script, PS_PONG(5));
		postcopy_script_await(script, script->native ? PEER_CHECK : PS_RUN PS_PING(4));
		return;
	}
	if (!script->native) {
		postcopy_script_say(script, PS_PACKAGED "32:a " PS_LISTEN PS_RUN);
		return;
	}
	postcopy_script_say(script, PS_PACKAGED "32:a " PS_LISTEN PEER_CHECK);
	postcopy_script_await(script, PEER_READY);
}

static void wait_moved(struct postcopy_script *script)
{
	pthread_mutex_lock(&script->lock);
	while (!script->moved)
		pthread_cond_wait(&script->changed, &script->lock);
	pthread_mutex_unlock(&script->lock);
}

static void commit(struct postcopy_script *script)
{
	if (script->source) {
		postcopy_script_say(script, PEER_READY);
		postcopy_script_await(script, PEER_COMMIT);
		postcopy_script_say(script, PEER_RUNNING);
	} else {
		postcopy_script_say(script, PEER_COMMIT);
		postcopy_script_await(script, PEER_RUNNING);
	}
}

void postcopy_script_move(struct postcopy_script *script)
{
	if (script->native)
		commit(script);
	wait_moved(script);
}

void postcopy_script_reconnect(struct postcopy_script *script)
{
	struct scripted_peer *peer = &script->peer;

	connect_ends(script);
	assert_int_equal(rs_migrate_recover(peer->state, peer->stream), 0);
	peer->stream = NULL;
	if (!script->native)
		return;
	if (script->source)
		postcopy_script_await(script, "8:8 16:5257 16:10 ");
	else
		put_header(script, 0x5257);
}

void postcopy_script_finish(struct postcopy_script *script)
{
	struct rs_state *state = script->peer.state;
	const char *journal = script->peer.vm.journal;

	postcopy_script_reconnect(script);
	if (script->source)
		source_finishes(script);
	else
		destination_finishes(script);
	assert_int_equal(rs_migrate_wait(state), 0);
	assert_int_equal(rs_migrate_status(state), RS_STATUS_COMPLETED);
	assert_null(strstr(journal, "go-on"));
	if (!script->source)
		assert_non_null(strstr(journal, "resume "));
}
