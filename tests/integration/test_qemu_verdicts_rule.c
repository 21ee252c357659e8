/* SPDX-License-Identifier: MIT */
/* The rule by which rows of odd streams are judged before any of them is run. */
#include "integration/odd_streams.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define NO_QEMU "no QEMU takes it"
#define NO_REASON "there is no reason"
#define NOT_LAX "lax is for what QEMU 7.2 takes"
#define NEEDLESS "a reason for what is no difference"

static void verdicts(void **unused)
{
	static const struct {
		struct odd_stream row;
		const char *complaint; /* a part of it, or NULL */
	} cases[] = {
		/* Both agree. */
		{ { "", 0, "", QEMU_TAKES, 0, "", "" }, NULL },
		{ { "", 0, "", QEMU_REFUSES, -EINVAL, "", "" }, NULL },
		{ { "", 0, "", QEMU_TAKES, 0, "", "why" }, NEEDLESS },
		{ { "", 0, "", QEMU_REFUSES, -EINVAL, "", "why" }, NEEDLESS },
		/* Stricter: only with a reason. */
		{ { "", 0, "", QEMU_TAKES, -EINVAL, "", "" }, NO_REASON },
		{ { "", 0, "", QEMU_TAKES, -EINVAL, "", "why" }, NULL },
		{ { "", 0, "", QEMU_TAKES_BEFORE(900), -EINVAL, "", "" }, NO_REASON },
		{ { "", 0, "", QEMU_TAKES_BEFORE(900), -EINVAL, "", "why" }, NULL },
		{ { "", 0, "", QEMU_TAKES_FROM(801), -EINVAL, "", "" }, NO_REASON },
		{ { "", 0, "", QEMU_TAKES, RS_ERROR_IN_DOUBT, "", "" }, NO_REASON },
		/* Laxer: only if some version is, too. */
		{ { "", 0, "", QEMU_REFUSES, 0, "", "" }, NO_QEMU },
		{ { "", 0, "", QEMU_REFUSES, 0, "", "why" }, NO_QEMU },
		{ { "", 0, "", QEMU_TAKES_FROM(801), 0, "", "" }, NULL },
		{ { "", 0, "", QEMU_TAKES_BEFORE(900), 0, "", "" }, NULL },
		/* Nobody to agree with. */
		{ { "", 0, "", NOT_FOR_QEMU, 0, "", "" }, NULL },
		{ { "", 0, "", NOT_FOR_QEMU, -EINVAL, "", "" }, NULL },
		{ { "", 0, "", NOT_FOR_QEMU, -EINVAL, "", "why" }, "no verdict of QEMU's" },
		/* lax makes the difference to QEMU go away, and no other. */
		{ { "", ODD_LAX_TAKES, "", QEMU_TAKES, -EINVAL, "", "why" }, NULL },
		{ { "", ODD_LAX_TAKES, "", QEMU_TAKES, -EINVAL, "", "" }, NO_REASON },
		{ { "", ODD_LAX_TAKES, "", QEMU_TAKES_BEFORE(900), -EINVAL, "", "why" }, NULL },
		{ { "", ODD_LAX_TAKES, "", QEMU_TAKES_FROM(900), -EINVAL, "", "why" }, NOT_LAX },
		{ { "", ODD_LAX_TAKES, "", QEMU_TAKES, 0, "", "" }, NOT_LAX },
		{ { "", ODD_LAX_TAKES, "", QEMU_REFUSES, -EINVAL, "", "" }, NOT_LAX },
		{ { "", ODD_LAX_TAKES, "", NOT_FOR_QEMU, -EINVAL, "", "" }, NOT_LAX },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *complaint = odd_stream_complaint(&cases[i].row);

		if ((complaint == NULL) != (cases[i].complaint == NULL) ||
		    (complaint != NULL && strstr(complaint, cases[i].complaint) == NULL))
			fail_msg("case %zu: \"%s\"", i, complaint != NULL ? complaint : "fine");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
