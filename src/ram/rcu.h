/* SPDX-License-Identifier: MIT */
/*
 * The little that is used of liburcu, in its flavour that needs no registration of threads:
 * read-side sections and grace periods. Pointers are C11 atomics. ThreadSanitizer does not see
 * the order that a grace period makes, so it is told: what readers did in a section happens
 * before what a writer does after synchronizing.
 */
#ifndef RS_RAM_RCU_H
#define RS_RAM_RCU_H

#include "base/tsan.h"

#include <urcu/urcu-bp.h>

struct rs_rcu {
	char token;
};

static inline void rs_rcu_read_lock(struct rs_rcu *rcu)
{
	(void)rcu;
	urcu_bp_read_lock();
}

static inline void rs_rcu_read_unlock(struct rs_rcu *rcu)
{
	rs_tsan_release(&rcu->token);
	urcu_bp_read_unlock();
}

static inline void rs_rcu_synchronize(struct rs_rcu *rcu)
{
	urcu_bp_synchronize_rcu();
	rs_tsan_acquire(&rcu->token);
}

#endif
