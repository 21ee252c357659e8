/* SPDX-License-Identifier: MIT */
/*
 * Postcopy: the guest runs at the destination before all of its memory is there. What it touches and does not
 * have is fetched at once, the rest in the background.
 *
 * Set the parameter postcopy-ram at both ends before the migration begins. It starts as any other; at any time
 * rs_migrate_start_postcopy() at the source makes it switch over. With postcopy-preempt the pages that the guest
 * waits for have a connection of their own, and do not queue behind the others; max-postcopy-bandwidth limits only
 * those that nobody waits for.
 *
 * After the switch neither end has the whole guest, so a connection that breaks must not end the migration: both
 * ends keep what they have, and are RS_STATUS_POSTCOPY_PAUSED; vCPUs that need a page wait. With new connections,
 * from rs_migrate_recover() and its like at both ends, it goes on. docs/postcopy.md says what is where at any
 * moment.
 *
 * The destination's memory: a userfaultfd owns it from the switch to the end, so nobody else may have one
 * there (-EBUSY). Private anonymous memory, memfd and hugetlbfs will do; private mappings of files will not. A page
 * must come at once and whole: with an alias (struct rs_region_config) it is written there first. Nobody may write the
 * memory meanwhile but the guest and the devices that run with it; what they touch may fault, and block.
 */
#ifndef RAMSYNC_POSTCOPY_H
#define RAMSYNC_POSTCOPY_H

#include <ramsync/migrate.h>

RS_BEGIN_DECLS

/**
 * rs_migrate_start_postcopy() - move the guest now, and the rest of its memory afterwards.
 * @state: the source's state.
 *
 * Takes effect when the current body of RAM is written, at any time while the migration is active;
 * earlier, as soon as it is. Once is enough, and more does no harm while the guest runs here.
 *
 * Return: 0; -ESRCH if no outgoing migration runs; -EINVAL if the parameter postcopy-ram is off;
 *	-EALREADY if the guest was stopped for the end of the migration already, or for postcopy.
 * Context: any thread, also from the event callback.
 * Source: migrate-start-postcopy of QEMU.
 */
RS_API int rs_migrate_start_postcopy(struct rs_state *state);

/**
 * rs_migrate_pause() - give the connection of a postcopy up, at either end.
 * @state: the state.
 *
 * For a peer that only seems to be there: both ends go to RS_STATUS_POSTCOPY_PAUSED, as if the connection had
 * broken. The same while it recovers; and a wait for a connection (rs_migrate_recover_connect() and _accept()) ends,
 * too, and with it this end is paused again.
 *
 * Return: 0; -EINVAL if the migration is not in postcopy with a connection, or on its way to one. The guest has not
 *	changed hands, then, or it waits for rs_migrate_recover() already, or has ended.
 * Context: any thread.
 * Source: migrate-pause of QEMU.
 */
RS_API int rs_migrate_pause(struct rs_state *state);

/**
 * rs_migrate_recover() - go on with a paused postcopy, at either end.
 * @state: the state, RS_STATUS_POSTCOPY_PAUSED.
 * @stream: two-way, to the same peer, whose end is recovered as well.
 *
 * Returns at once. The ends agree on what is left, and the status becomes RS_STATUS_POSTCOPY_ACTIVE; if
 * that fails it is RS_STATUS_POSTCOPY_PAUSED again, for the reason that the event tells. In native mode the peer is
 * refused if it is not that of this migration. With postcopy-preempt the open_channel callback is called.
 *
 * Return: 0; -EINVAL if it is not paused, or was brought a connection already, or @stream is NULL or
 *	one-way (but a recording may be read).
 * Context: any thread.
 * Ownership: @stream is the library's from here on, which closes it; not on failure.
 * Source: migrate-recover (destination) and migrate with resume (source) of QEMU.
 */
RS_API int rs_migrate_recover(struct rs_state *state, struct rs_stream *stream);

/**
 * rs_migrate_recover_connect() - rs_migrate_recover() over an address, which the library connects to.
 * @state: the state, RS_STATUS_POSTCOPY_PAUSED.
 * @address: as for rs_stream_connect(); another one than before will do. Copied.
 * @timeout_ms: how long to wait for the connection; 0 waits for ever. If it does not come about, the migration is
 *	paused again.
 *
 * Return: 0; -EINVAL, also for an address that cannot be parsed; -ENOMEM.
 * Context: any thread.
 */
RS_API int rs_migrate_recover_connect(struct rs_state *state, const char *address,
				      unsigned timeout_ms);

/**
 * rs_migrate_recover_accept() - rs_migrate_recover() over the first connection that a listener gets.
 * @state: the state, RS_STATUS_POSTCOPY_PAUSED.
 * @listener: where the peer connects.
 * @timeout_ms: how long to wait for it; 0 waits for ever.
 *
 * Return: 0; -EINVAL if it is not paused, or was brought a connection already, or @listener is NULL.
 * Context: any thread.
 * Ownership: @listener is the library's from here on, which closes it; not on failure.
 */
RS_API int rs_migrate_recover_accept(struct rs_state *state, struct rs_listener *listener,
				     unsigned timeout_ms);

/* ---- at the destination ---------------------------------------------------------------------- */

/**
 * rs_postcopy_set_userfaultfd() - use a userfaultfd of the embedder's own.
 * @state: the state.
 * @userfaultfd: set up (UFFDIO_API) and non-blocking; read by nobody else while a migration comes in by postcopy.
 *	UFFD_FEATURE_THREAD_ID is needed for blocked times. -1: the library opens one, which is
 *	the default, and needs the right to handle faults of the kernel's (CAP_SYS_PTRACE,
 *	/proc/sys/vm/unprivileged_userfaultfd or /dev/userfaultfd).
 *
 * Return: 0; -EBUSY while a migration runs.
 * Ownership: stays the embedder's, which keeps it open as long as migrations may come.
 */
RS_API int rs_postcopy_set_userfaultfd(struct rs_state *state, int userfaultfd);

/** RS_POSTCOPY_MAX_VCPUS - most vCPUs whose blocked times are kept. */
#define RS_POSTCOPY_MAX_VCPUS 1024

/**
 * rs_postcopy_register_vcpu() - tell which thread a vCPU runs in, for its blocked time.
 * @state: the state.
 * @vcpu: 0 to RS_POSTCOPY_MAX_VCPUS - 1.
 * @thread_id: as of gettid(2); 0 forgets the vCPU.
 *
 * Stays known from one migration to the next.
 *
 * Return: 0; -EINVAL if @vcpu is too large; -ENOMEM.
 * Context: any thread, at any time.
 */
RS_API int rs_postcopy_register_vcpu(struct rs_state *state, unsigned vcpu, int thread_id);

/** RS_POSTCOPY_LATENCY_BUCKETS - counters of struct rs_postcopy_latency. */
#define RS_POSTCOPY_LATENCY_BUCKETS 24

/**
 * struct rs_postcopy_latency - how long faults took, of the present or last incoming postcopy.
 * @size: set it to sizeof(struct rs_postcopy_latency) before the call.
 * @faults: that have ended.
 * @mean_ns: 0 if there were none.
 * @max_ns: of the longest.
 * @all_blocked_ns: time in which every registered vCPU waited for a page.
 * @distribution: the N-th counts those of [2^N, 2^(N+1)) microseconds; the first all shorter ones, too, the last
 *	all longer ones.
 */
struct rs_postcopy_latency {
	size_t size;
	uint64_t faults;
	uint64_t mean_ns;
	uint64_t max_ns;
	uint64_t all_blocked_ns;
	uint64_t distribution[RS_POSTCOPY_LATENCY_BUCKETS];
};

/**
 * rs_postcopy_latency_get() - read it.
 * @state: the state.
 * @latency: receives it; its size field says how much of it is filled.
 *
 * Return: 0; -EINVAL if size is 0.
 * Context: any thread.
 * Source: postcopy-latency and postcopy-latency-dist of QEMU 10.1.
 */
RS_API int rs_postcopy_latency_get(const struct rs_state *state,
				   struct rs_postcopy_latency *latency);

/**
 * rs_postcopy_vcpu_blocked_ns() - how long a vCPU has waited for pages in the present or last incoming postcopy.
 * @state: the state.
 * @vcpu: a registered one.
 *
 * Return: nanoseconds; 0 for one that is not registered.
 * Context: any thread.
 * Source: postcopy-vcpu-blocktime of QEMU.
 */
RS_API uint64_t rs_postcopy_vcpu_blocked_ns(const struct rs_state *state, unsigned vcpu);

RS_END_DECLS
#endif
