/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a migration by the handlers, as a VMM with a stream of its own uses them, with the
 * simplest framing. The guest's hook hears of each pass at the source.
 */
#ifndef RS_TESTS_BY_HANDLERS_H
#define RS_TESTS_BY_HANDLERS_H

#include "support/guest.h"

int by_handlers_out(struct guest *guest, struct rs_stream *stream);
int by_handlers_in(struct guest *guest, struct rs_stream *stream);

#endif
