/* SPDX-License-Identifier: MIT */
/*
 * A postcopy migration of a small guest over connections that break as a test likes, brought to its end whatever
 * happens: recovered as often as it pauses, or, if one end has ended, the other one told. For cmocka tests.
 */
#ifndef RS_TESTS_POSTCOPY_DRIVE_H
#define RS_TESTS_POSTCOPY_DRIVE_H

#include "pair.h"

struct postcopy_how {
	const char *name;
	const char *machine;
	bool preempt;
};

/* Native and QEMU's form, with and without preempt. */
#define POSTCOPY_HOWS 5u
extern const struct postcopy_how postcopy_hows[POSTCOPY_HOWS];

/* How the next connection behaves; the options are zero before. */
struct postcopy_connection {
	struct fake_options there;
	struct fake_options back;
	struct fake_options channel; /* of preempt, from the source */
};

struct postcopy_drive {
	struct pair pair;
	const struct postcopy_how *how;
	struct transfer transfer;
	void (*plan)(struct postcopy_drive *drive, struct postcopy_connection *connection);
	void *opaque; /* the test's */
	/* Not NULL: called in the hook of both guests, after what the drive does. */
	void (*moment)(struct postcopy_drive *drive, struct guest *guest, enum guest_moment moment);
	bool waits_with_postcopy; /* the test starts it */
	bool touches_nothing;     /* the devices do not look at pages */
	bool in_background;       /* in the library's threads, so that states may be destroyed */
	unsigned recoveries;
	unsigned from_offers; /* connections that were brought to each end */
	unsigned to_offers;
	/* atomic: how often each end paused; the rest is the test's */
	_Atomic unsigned from_pauses;
	_Atomic unsigned to_pauses;
};

/* The guest has three regions, of 260 pages in all if there are writers, of 72 if not. It moves as soon as it can.
 * Its devices look at pages when they are loaded, which have to be asked for. */
void postcopy_drive_open(struct postcopy_drive *drive, const struct postcopy_how *how,
			 bool writers);
void postcopy_drive_close(struct postcopy_drive *drive);

/* To the end of both: the two below, one after the other. */
void postcopy_drive_run(struct postcopy_drive *drive);
void postcopy_drive_start(struct postcopy_drive *drive);
void postcopy_drive_settle(struct postcopy_drive *drive);

/* One of the steps of the latter: both have paused, and are brought a connection. */
void postcopy_drive_recover(struct postcopy_drive *drive);

/* What the devices do, at the destination. */
void postcopy_drive_touch(struct postcopy_drive *drive);

bool postcopy_drive_has_ended(const struct postcopy_drive *drive, bool source);

/* Destroy the state of one end, in the background. */
void postcopy_drive_destroy(struct postcopy_drive *drive, bool source);

/* Until each end has ended or waits for a connection. */
void postcopy_drive_await(struct postcopy_drive *drive);

/* It runs, whole, at exactly one end. */
void postcopy_drive_check(struct postcopy_drive *drive);

#endif
