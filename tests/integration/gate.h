/* SPDX-License-Identifier: MIT */
/* A place where one thread waits until another lets it through. */
#ifndef RS_TESTS_GATE_H
#define RS_TESTS_GATE_H

#include <pthread.h>
#include <stdbool.h>

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool reached;
	bool open;
};

#define GATE_CLOSED                                                                                \
	{                                                                                          \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false                  \
	}

/* Say that one is here, and wait until it is open. */
static inline void gate_pass(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->reached = true;
	pthread_cond_broadcast(&gate->changed);
	while (!gate->open)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

/* Wait until the other is here. */
static inline void gate_await(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	while (!gate->reached)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

static inline void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = true;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

#endif
