/* SPDX-License-Identifier: MIT */
/*
 * The driver: a whole migration in one call, over one stream.
 *
 * Source: rs_migrate_out() connects nothing and closes nothing; it takes a stream that is
 * open, sends RAM while the guest runs, stops the guest through struct rs_vm_ops, sends the
 * rest and the device state, and hands over. Destination: rs_migrate_in() reads it all, loads
 * the device state, and resumes the guest. Either blocks; rs_migrate_start_out() and
 * rs_migrate_start_in() do the same in a thread of the library's, and rs_migrate_start_connect() and
 * rs_migrate_start_accept() open the stream there, too.
 *
 * Two forms of stream. Native (the default): between two libramsync ends, with features that are
 * offered and accepted. QEMU's: if the parameter "machine" is set at the source; the destination
 * tells by itself. docs/wire-format.md has the bytes.
 *
 * Handing over, native and two-way: before the guest is stopped the destination has said that it
 * loaded all that was sent. It says READY when it has and has checked everything; the source
 * sends COMMIT and from then on never runs the guest by itself; the destination runs the guest
 * and says RUNNING. A failure before COMMIT: the source resumes the guest and rs_migrate_out()
 * returns the error. A loss between COMMIT and RUNNING: the source is *in doubt*
 * (RS_ERROR_IN_DOUBT): complete and stopped, until rs_migrate_resolve() or
 * rs_migrate_reconnect_out(). A destination that said READY and lost the stream before COMMIT
 * came is in doubt too. On one-way streams and in QEMU's form there is no answer: the source is
 * done when the stream has taken the last byte.
 */
#ifndef RAMSYNC_MIGRATE_H
#define RAMSYNC_MIGRATE_H

#include <ramsync/handlers.h>

RS_BEGIN_DECLS

/**
 * enum rs_status - where a migration stands, with QEMU's names (rs_status_name()).
 * @RS_STATUS_NONE: there was none yet.
 * @RS_STATUS_SETUP: header, features, list of regions.
 * @RS_STATUS_ACTIVE: pages travel while the guest runs at the source.
 * @RS_STATUS_DEVICE: the guest is stopped; last pages, device state, hand-over.
 * @RS_STATUS_COMPLETED: the guest is the destination's.
 * @RS_STATUS_FAILED: it failed; the guest is the source's.
 * @RS_STATUS_CANCELLING: a cancel was asked for and is being carried out.
 * @RS_STATUS_CANCELLED: it was cancelled; the guest is the source's.
 * @RS_STATUS_IN_DOUBT: ours: complete and stopped at this end; see above. In postcopy: a source that cannot go on
 *	any more, because its regions changed or its state is destroyed.
 * @RS_STATUS_POSTCOPY_ACTIVE: the guest runs at the destination, and pages still travel.
 * @RS_STATUS_POSTCOPY_PAUSED: the connection broke in postcopy: both ends keep what they have, and wait
 *	for rs_migrate_recover().
 * @RS_STATUS_POSTCOPY_RECOVER: a new connection is there, and the ends agree on what is left.
 */
enum rs_status {
	RS_STATUS_NONE,
	RS_STATUS_SETUP,
	RS_STATUS_ACTIVE,
	RS_STATUS_DEVICE,
	RS_STATUS_COMPLETED,
	RS_STATUS_FAILED,
	RS_STATUS_CANCELLING,
	RS_STATUS_CANCELLED,
	RS_STATUS_IN_DOUBT,
	RS_STATUS_POSTCOPY_ACTIVE,
	RS_STATUS_POSTCOPY_PAUSED,
	RS_STATUS_POSTCOPY_RECOVER,
};

/** rs_status_name() - QEMU's word for it. Return: for instance "active"; a static string. */
RS_API const char *rs_status_name(enum rs_status status);

/**
 * enum rs_event_type - what an event is about.
 * @RS_EVENT_STATUS: the status changed; @status is the new one, @text the error if it failed.
 * @RS_EVENT_PASS: a dirty-bitmap sync was done; @pass counts them.
 * @RS_EVENT_WARNING: something odd that is no error; @text says what.
 */
enum rs_event_type {
	RS_EVENT_STATUS,
	RS_EVENT_PASS,
	RS_EVENT_WARNING,
};

/**
 * struct rs_event - something worth telling.
 * @size: sizeof(struct rs_event) of the library.
 * @type: which.
 * @status: the status now.
 * @pass: dirty syncs so far.
 * @text: a sentence, or "".
 */
struct rs_event {
	size_t size;
	enum rs_event_type type;
	enum rs_status status;
	uint64_t pass;
	const char *text;
};

/** RS_LENGTH_UNKNOWN - a device section whose end only its reader can know. */
#define RS_LENGTH_UNKNOWN UINT64_MAX

/**
 * struct rs_device_section - header of a piece of device state.
 * @name: idstr, 1 to 255 bytes.
 * @instance: tells devices of one kind apart.
 * @version: of the layout of its body.
 * @bytes: length of the body; RS_LENGTH_UNKNOWN where the stream is QEMU's, which has none.
 */
struct rs_device_section {
	const char *name;
	uint32_t instance;
	uint32_t version;
	uint64_t bytes;
};

struct rs_device_writer;

/**
 * rs_device_save() - write one piece of device state.
 * @writer: as given to save_devices.
 * @section: name, instance and version; its @bytes is ignored.
 * @data: the body.
 * @bytes: its length.
 *
 * Return: 0; -EINVAL for a bad name; -E2BIG for more than max-device-state; the stream's error.
 * Context: inside save_devices only.
 */
RS_API int rs_device_save(struct rs_device_writer *writer, const struct rs_device_section *section,
			  const void *data, size_t bytes);

/**
 * rs_device_save_opaque() - write device state that somebody else had written into a stream of
 * QEMU's, as it stands.
 * @writer: as given to save_devices.
 * @data: what load_opaque got of that stream, all of it: sections, end mark, description.
 * @bytes: its length.
 *
 * It takes the place of all rs_device_save() calls, and ends the stream.
 *
 * Return: 0; -EOPNOTSUPP if the stream is not written in QEMU's form; -EINVAL if there was device
 *	state before, or @data does not end as a stream of QEMU's does (-EINVAL unless "lax" is on,
 *	if just the description is missing); -E2BIG for more than max-device-state; the stream's
 *	error.
 * Context: inside save_devices only.
 */
RS_API int rs_device_save_opaque(struct rs_device_writer *writer, const void *data, size_t bytes);

/**
 * enum rs_resume - why a guest is to be resumed.
 * @RS_RESUME_STAYED: at the source: it was stopped for a migration that did not come to pass, or
 *	RS_RESOLVE_RUN says so.
 * @RS_RESUME_ARRIVED: at the destination: it has been handed over.
 */
enum rs_resume {
	RS_RESUME_STAYED,
	RS_RESUME_ARRIVED,
};

/**
 * struct rs_vm_ops - what a migration asks of the VMM.
 * @size: sizeof(struct rs_vm_ops).
 * @stop: stop the vCPUs and everything else that writes guest memory, and say so by returning.
 *	Return 0 or a negative errno, which ends the migration. Source; required there.
 * @resume: run the guest, for the reason that is given. A negative errno at the destination means
 *	that the guest does not run and will not: the source is told so and resumes it. Required.
 * @save_devices: write device state with rs_device_save(). Source; optional.
 * @load_device: read one section's body from @body: exactly @section->bytes of it where that is
 *	known. Return 0 or a negative errno. Destination; without it a device section is an error.
 * @load_opaque: for a destination that keeps the device state of a QEMU without understanding it:
 *	the next @bytes of everything behind RAM, as it stands, in order: sections, end mark,
 *	description. Takes the place of load_device for QEMU's form. As only the description tells
 *	where it ends, a stream without one is refused, unless "lax" is on and no return path is
 *	open; more than max-device-state in all is refused. Return 0 or a negative errno.
 *	Destination; optional.
 * @region_announced: as in struct rs_load_ops. Optional.
 * @region_resized: as in struct rs_load_ops. Optional.
 * @observe: see observe.h. Destination; optional.
 * @event: something happened. Optional. May call rs_migrate_cancel(), rs_migrate_start_postcopy(),
 *	rs_stats_get() and rs_param_set(), nothing that waits for the migration.
 * @open_channel: with the parameter postcopy-preempt: one more two-way stream to the same peer; at the
 *	source open it, at the destination accept it. *@stream is the library's from then on. Return 0 or
 *	a negative errno. Not used where the library opens the streams itself. Optional.
 *
 * What returns an errno can say why with rs_migrate_fail().
 *
 * Context: all are called by the thread that migrates, one at a time. In postcopy at the destination @event,
 *	@observe and @open_channel are called by another thread of the library's, which may be while
 *	@load_device or @resume runs; @event and @observe still one at a time.
 */
struct rs_vm_ops {
	size_t size;
	int (*stop)(void *opaque);
	int (*resume)(void *opaque, enum rs_resume why);
	int (*save_devices)(void *opaque, struct rs_device_writer *writer);
	int (*load_device)(void *opaque, const struct rs_device_section *section,
			   struct rs_stream *body);
	int (*region_announced)(void *opaque, const char *name, uint64_t used_bytes);
	int (*region_resized)(void *opaque, struct rs_region *region, uint64_t used_bytes);
	void (*event)(void *opaque, const struct rs_event *event);
	int (*load_opaque)(void *opaque, const void *data, size_t bytes);
	void (*observe)(void *opaque, const struct rs_observation *observation);
	int (*open_channel)(void *opaque, struct rs_stream **stream);
};

/**
 * rs_migrate_out() - send a running guest.
 * @state: the state.
 * @stream: writable; readable too if there is to be an answer. Not closed.
 * @vm: callbacks, copied.
 * @opaque: their first argument.
 *
 * Return: 0: the guest is the destination's, and stays stopped here; RS_ERROR_IN_DOUBT: see the
 *	top of this header; -ECANCELED after rs_migrate_cancel(); -EBUSY if a migration runs or is
 *	in doubt; -ESTALE if regions changed; any other errno. Except for the first two the guest
 *	runs on here as before.
 * Context: blocks for the length of the migration.
 */
RS_API int rs_migrate_out(struct rs_state *state, struct rs_stream *stream,
			  const struct rs_vm_ops *vm, void *opaque);

/**
 * rs_migrate_in() - receive a guest and run it.
 * @state: the state.
 * @stream: readable; writable too if the source is to be answered. Not closed.
 * @vm: callbacks, copied.
 * @opaque: their first argument.
 *
 * Return: 0: the guest runs here; RS_ERROR_IN_DOUBT: see the top of this header; -ECANCELED;
 *	-EBUSY; any other errno: the guest does not run here, and its memory is part old, part new.
 * Context: blocks for the length of the migration.
 */
RS_API int rs_migrate_in(struct rs_state *state, struct rs_stream *stream,
			 const struct rs_vm_ops *vm, void *opaque);

/**
 * rs_migrate_start_out() - rs_migrate_out() in a thread of its own.
 * @state: the state.
 * @stream: as there; must stay until rs_migrate_wait() returned.
 * @vm: callbacks, copied.
 * @opaque: their first argument.
 *
 * Return: 0; -EBUSY; -EINVAL; -EAGAIN if no thread could be had.
 */
RS_API int rs_migrate_start_out(struct rs_state *state, struct rs_stream *stream,
				const struct rs_vm_ops *vm, void *opaque);

/**
 * rs_migrate_start_in() - rs_migrate_in() in a thread of its own.
 * @state: the state.
 * @stream: as there; must stay until rs_migrate_wait() returned.
 * @vm: callbacks, copied.
 * @opaque: their first argument.
 *
 * Return: 0; -EBUSY; -EINVAL; -EAGAIN if no thread could be had.
 */
RS_API int rs_migrate_start_in(struct rs_state *state, struct rs_stream *stream,
			       const struct rs_vm_ops *vm, void *opaque);

/**
 * rs_migrate_start_connect() - connect to an address and send a running guest there, in a thread of
 * the library's.
 * @state: the state.
 * @address: as for rs_stream_connect(); copied.
 * @timeout_ms: how long to wait for the connection; 0 waits for ever.
 * @vm: callbacks, copied.
 * @opaque: their first argument.
 *
 * The migration is in setup from now on, and rs_migrate_cancel() ends the wait for the connection,
 * too (but not the resolution of a name). Regions may come and go until there is a connection. The
 * stream is the library's, and closed before the migration is over. The command of an exec: address is
 * given five seconds to end then; if it fails although it took everything, the migration is in doubt:
 * nobody knows whether there is a guest at its other end. The descriptor of fd:N is the library's, too.
 *
 * Return: 0; -EINVAL, also for an address that cannot be parsed; -EBUSY; -ENOMEM; -EAGAIN if no
 *	thread could be had. What rs_stream_connect() would return comes from rs_migrate_wait().
 */
RS_API int rs_migrate_start_connect(struct rs_state *state, const char *address,
				    unsigned timeout_ms, const struct rs_vm_ops *vm, void *opaque);

/**
 * rs_migrate_start_accept() - wait for a peer that sends a guest, and receive it, in a thread of the
 * library's.
 * @state: the state.
 * @listener: where the peer connects.
 * @timeout_ms: how long to wait for it; 0 waits for ever.
 * @vm: callbacks, copied.
 * @opaque: their first argument.
 *
 * As rs_migrate_start_connect(). Whoever comes first is the peer, so let only trusted ones reach the
 * address.
 *
 * Return: 0; -EBUSY; -EINVAL; -EAGAIN if no thread could be had. What rs_listener_accept() would
 *	return comes from rs_migrate_wait().
 * Ownership: @listener is the library's from here on, which closes it as soon as a peer has come;
 *	not on failure.
 */
RS_API int rs_migrate_start_accept(struct rs_state *state, struct rs_listener *listener,
				   unsigned timeout_ms, const struct rs_vm_ops *vm, void *opaque);

/**
 * rs_migrate_event_fd() - a descriptor that becomes readable when a started migration ends.
 * @state: the state.
 *
 * Return: the descriptor, the state's, to poll and nothing else.
 */
RS_API int rs_migrate_event_fd(const struct rs_state *state);

/**
 * rs_migrate_wait() - wait for a started migration, and let go of it.
 * @state: the state.
 *
 * Return: what rs_migrate_out() or _in() would have returned; -ESRCH if none was started; -EBUSY if
 *	another thread waits already.
 * Context: blocks; not from a callback of the migration (-EDEADLK).
 */
RS_API int rs_migrate_wait(struct rs_state *state);

/**
 * rs_migrate_fail() - say why a callback of the migration fails.
 * @state: the state.
 * @code: the negative errno that the callback is going to return; -EIO in place of anything else.
 * @format: as for printf(3): a sentence without a final dot, which names what is concerned.
 *
 * The text becomes the migration's error (RS_ERROR_OF_MIGRATION), unless there is one already, and
 * a peer that can be told is told it. Without it the error says which callback failed, and no more.
 *
 * Return: @code, so that a callback can end with "return rs_migrate_fail(...)".
 * Context: the callbacks of struct rs_vm_ops and struct rs_load_ops, in the thread that called them.
 *	Elsewhere nothing is kept. In a resume that rs_migrate_resolve() called, the text is that
 *	call's (RS_ERROR_OF_CALL).
 */
RS_API int rs_migrate_fail(struct rs_state *state, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * rs_migrate_cancel() - end the migration, at either end.
 * @state: the state.
 *
 * Returns at once; rs_migrate_out() or _in() returns -ECANCELED soon after (one that was started
 * with an exec: address, when the command has ended). At the source the guest runs on.
 *
 * Return: 0; -ESRCH if none runs; -EALREADY if it is too late: the guest was handed over, or may have been
 *	(a paused postcopy: rs_migrate_resolve() ends it).
 * Context: any thread.
 */
RS_API int rs_migrate_cancel(struct rs_state *state);

/** rs_migrate_status() - where the present or last migration stands. Return: the status. */
RS_API enum rs_status rs_migrate_status(const struct rs_state *state);

/**
 * enum rs_resolution - how an in-doubt migration is to end at this end.
 * @RS_RESOLVE_RUN: the guest is this end's: resume it. Make sure that the other end does not.
 * @RS_RESOLVE_DISCARD: the guest is the other end's: it stays stopped here for good.
 */
enum rs_resolution {
	RS_RESOLVE_RUN,
	RS_RESOLVE_DISCARD,
};

/**
 * rs_migrate_resolve() - end an in-doubt migration, or a paused postcopy, by decree.
 * @state: the state.
 * @resolution: which end has the guest.
 *
 * Calls the resume callback of the migration for RS_RESOLVE_RUN. The status becomes completed, or
 * failed, as it then is for this end.
 *
 * Of a postcopy that is RS_STATUS_POSTCOPY_PAUSED the source can say either: it has all of the guest, as it was
 * when it was stopped. The destination can only discard; vCPUs that wait for pages must be gone before, or they go on
 * and find zeros. The migration's thread does the rest: the call returns at once. One that is being recovered, or
 * is being connected, has to be paused again before (rs_migrate_pause()).
 *
 * Return: 0; -EINVAL if there is nothing to resolve, a destination is to run what it has in part, or
 *	@resolution is neither of the two; what resume returned.
 */
RS_API int rs_migrate_resolve(struct rs_state *state, enum rs_resolution resolution);

/**
 * rs_migrate_reconnect_out() - at the source: ask the destination on a new stream how it ended.
 * @state: the state, in doubt or failed.
 * @stream: two-way, to the same destination, which calls rs_migrate_reconnect_in().
 *
 * In doubt: the destination runs the guest if it did not yet, and both ends are completed; or it
 * says that it was discarded there, and the guest is resumed here. After a failure: tells a
 * destination that is in doubt to discard.
 *
 * Return: 0: settled; -EINVAL if there is nothing to settle; -EEXIST if this end runs the guest and
 *	the destination says that it does, too; another errno: nothing changed, try again.
 * Context: blocks, within the stall time-out; rs_stream_shutdown() ends it.
 */
RS_API int rs_migrate_reconnect_out(struct rs_state *state, struct rs_stream *stream);

/**
 * rs_migrate_reconnect_in() - at the destination: the counterpart of rs_migrate_reconnect_out().
 * @state: the state: in doubt, or settled already (failed or completed), and then it just says so.
 * @stream: two-way, from the same source.
 *
 * Return: 0: settled, and the source was told; -EINVAL if there is nothing to settle; -EPERM if the
 *	stream settles another migration; another errno: nothing changed, or the source was not told.
 * Context: as rs_migrate_reconnect_out().
 */
RS_API int rs_migrate_reconnect_in(struct rs_state *state, struct rs_stream *stream);

RS_END_DECLS
#endif
