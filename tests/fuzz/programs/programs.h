/* SPDX-License-Identifier: MIT */
/* The programs' main(), by the names that they have in here. */
#ifndef RS_FUZZ_PROGRAMS_H
#define RS_FUZZ_PROGRAMS_H

int ramsync_inspect(int argc, char **argv);
int ramsync_convert(int argc, char **argv);

#endif
