/* SPDX-License-Identifier: MIT */
/*
 * A guest for tests: a state with regions of several kinds, threads that write them and check what
 * they find, device state, and the callbacks of a VMM around it.
 *
 * Every 4 KiB page has a number, which grows with each write and is all over the page; the
 * guest knows the number that each page should have. The numbers travel as device state, so
 * the destination's guest notices by itself if a page is not the one that was written last.
 *
 * The guests of one migration share a world, which notices if two of them run at a time.
 */
#ifndef RS_TESTS_GUEST_H
#define RS_TESTS_GUEST_H

#include "support/guest_memory.h"
#include "support/shadow_log.h"
#include "support/test_random.h"

#include <ramsync/ramsync.h>
#include <pthread.h>

#define GUEST_PAGE_BYTES 4096u
#define GUEST_MAX_REGIONS 8u
#define GUEST_MAX_WRITERS 4u

/* How writes get known. Without any of these each write is marked. */
enum guest_log {
	GUEST_LOG_USERFAULTFD = 1 << 0,
	GUEST_LOG_SHADOW = 1 << 1,
	GUEST_LOG_SHADOW_CLEAR = 1 << 2, /* the shadow log is cleared in chunks */
	GUEST_LOG_SHADOW_RANGES = 1 << 3,
};

struct guest_region_spec {
	enum guest_kind kind;
	uint64_t used_bytes;
	uint64_t max_bytes; /* 0: used_bytes */
	uint32_t flags;     /* RS_REGION_FRESH, RS_REGION_RESIZABLE */
	unsigned logs;
	uint64_t granule_bytes;  /* of the shadow log */
	unsigned filled_percent; /* pages with content at first; the others are holes */
	bool announced;          /* made when the stream announces it */
};

struct guest_spec {
	uint32_t page_bytes;
	unsigned region_count;
	struct guest_region_spec regions[GUEST_MAX_REGIONS];
	unsigned writers;
	unsigned burst; /* writes of each writer after stop was asked for */
	uint64_t seed;
};

struct guest_region {
	struct guest_region_spec spec;
	struct guest_memory memory;
	struct rs_region *region; /* NULL: not announced yet */
	char name[32];
	uint64_t pages; /* of GUEST_PAGE_BYTES, whole ones */
	uint64_t *numbers;
	struct shadow_log shadow;
};

struct guest_world {
	_Atomic int running;
	_Atomic bool both; /* two ran at a time */
};

/* What a test may hook into. */
enum guest_moment {
	GUEST_STOPS,   /* before */
	GUEST_RESUMES, /* before; at the destination its memory is complete */
	GUEST_SAVES_DEVICES,
	GUEST_LOADS_DEVICE,
	GUEST_STATUS, /* event; guest->status is the new one */
	GUEST_PASS,   /* event */
	GUEST_MOMENTS,
};

struct guest;

/* A negative errno makes the callback fail, except for events. */
typedef int guest_hook(void *opaque, struct guest *guest, enum guest_moment moment);

struct guest_writer {
	struct guest *guest;
	unsigned index;
	pthread_t thread;
	struct test_random random;
	uint64_t number;
};

enum guest_order { GUEST_RUN, GUEST_PAUSE, GUEST_QUIT };

struct guest {
	/* immutable after creation, except as noted */
	struct rs_state *state;
	struct guest_world *world;
	struct guest_spec spec;
	struct guest_region regions[GUEST_MAX_REGIONS];
	guest_hook *hook; /* set while nothing runs */
	void *hook_opaque;

	/* atomic */
	_Atomic bool running;
	_Atomic bool
	    stores_only; /* writers use the mapping and nothing else: postcopy owns the memory */
	struct rs_stream *_Atomic channel; /* open_channel gives it away; else it fails */

	/* the thread that migrates */
	enum rs_status status;
	struct test_random random;
	unsigned devices_loaded;

	/* writers */
	struct guest_writer writers[GUEST_MAX_WRITERS];
	_Atomic bool quiet; /* they make a break */
	_Atomic int order;  /* enum guest_order */
	_Atomic uint64_t writes;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned paused; /* guarded by lock */
	char fault[256]; /* guarded by lock: what the guest found wrong first */
};

/*
 * Make one: as a source, filled and running; as a destination, filled with garbage where a region
 * is not fresh, and stopped. NULL without memory.
 */
struct guest *guest_create_source(const struct guest_spec *spec, struct guest_world *world);
struct guest *guest_create_destination(const struct guest_spec *spec, struct guest_world *world);
void guest_destroy(struct guest *guest);

/* The callbacks; opaque is the guest. */
extern const struct rs_vm_ops guest_vm_ops;
extern const struct rs_load_ops guest_load_ops;

/* What the callbacks do, for tests that use the handlers. */
int guest_stop(struct guest *guest);
int guest_resume(struct guest *guest);
int guest_announced(struct guest *guest, const char *name, uint64_t used_bytes);
/* Without device state. */
void guest_copy_numbers(struct guest *to, const struct guest *from);

/* Run again what was handed over: the test wants to use it once more. */
void guest_run_again(struct guest *guest);

/* Some writes in this thread, as one of the writers makes them. */
void guest_write(struct guest *guest, unsigned count);
/* Let the writers make that many writes; without writers this thread makes them. */
void guest_let_write(struct guest *guest, uint64_t count);

/* Look at every page, as a writer looks at those that it writes; stopped, or quiet. */
void guest_verify(struct guest *guest);

/* Both stopped. An empty text, or what differs. */
void guest_compare(const struct guest *a, const struct guest *b, char *text, size_t bytes);
/* What the guest or its logs noticed. An empty text, or the first fault. */
void guest_fault(struct guest *guest, char *text, size_t bytes);

/* Internal to the guest's files. */
void guest_found_fault(struct guest *guest, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int guest_call_hook(struct guest *guest, enum guest_moment moment);
void guest_region_set_used(struct guest_region *region, uint64_t used_bytes);
int guest_writers_start(struct guest *guest);
void guest_writers_order(struct guest *guest, enum guest_order order);
void guest_writers_join(struct guest *guest);
void guest_page_fill(struct guest_region *region, uint64_t page, uint64_t number);

#endif
