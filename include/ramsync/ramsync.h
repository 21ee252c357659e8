/* SPDX-License-Identifier: MIT */
/*
 * libramsync: live migration of a virtual machine's memory. This header includes all the others.
 *
 *	state.h		the object for one VM, its errors
 *	region.h	its memory; rs_dirty_mark()
 *	dirty_log.h	who knows what was written
 *	kvm.h		KVM's dirty logs, ready-made
 *	param.h		what can be tuned
 *	stats.h		what happened
 *	stream.h	the bytes between two ends
 *	migrate.h	a whole migration in one call
 *	handlers.h	the RAM part alone, for a VMM with its own framing
 *	postcopy.h	the guest first, the rest of its memory afterwards
 *	observe.h	what stands in a stream, for tools
 */
#ifndef RAMSYNC_RAMSYNC_H
#define RAMSYNC_RAMSYNC_H

#include <ramsync/dirty_log.h>
#include <ramsync/error.h>
#include <ramsync/export.h>
#include <ramsync/handlers.h>
#include <ramsync/kvm.h>
#include <ramsync/migrate.h>
#include <ramsync/observe.h>
#include <ramsync/param.h>
#include <ramsync/postcopy.h>
#include <ramsync/postcopy_handlers.h>
#include <ramsync/region.h>
#include <ramsync/state.h>
#include <ramsync/stats.h>
#include <ramsync/stream.h>

#endif
