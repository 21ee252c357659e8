/* SPDX-License-Identifier: MIT */
/*
 * A VM without a guest: it keeps a journal of what a migration asks of it and tells it, in words
 * with a space behind each, and answers as it is told to.
 *
 *	setup active device completed ...	status
 *	pass1 pass2 ...				dirty sync
 *	warning
 *	stop save load:NAME			callbacks
 *	resume go-on				the same one, for a guest that arrived, that stayed
 */
#ifndef RS_TESTS_JOURNAL_VM_H
#define RS_TESTS_JOURNAL_VM_H

#include <ramsync/ramsync.h>
#include <stdbool.h>

struct journal_vm {
	struct rs_state *state; /* not owned */
	char journal[8192];
	char warning[RS_ERROR_TEXT_BYTES]; /* the last one */
	char failure[RS_ERROR_TEXT_BYTES]; /* text of the last status event that had one */

	/* What the callbacks return. */
	int stop_code;
	int resume_code;
	int save_code;
	bool forgets_save_result; /* of rs_device_save() */
	int load_code;

	/* Device state: one section, if it has a name. */
	const char *device;
	uint32_t device_version;
	size_t device_bytes; /* saved, and read by load */
	uint8_t loaded[64];  /* the first of them */

	/* Called for each word, before it is written down; optional. */
	void (*hook)(struct journal_vm *vm, const char *word);
	void *hook_opaque;
};

/* Every callback there is, except for those of regions. */
extern const struct rs_vm_ops journal_vm_ops;

#endif
