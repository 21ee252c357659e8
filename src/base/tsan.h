/* SPDX-License-Identifier: MIT */
/*
 * Telling ThreadSanitizer about an order that it cannot see by itself: the one made by
 * liburcu's grace periods, and by fences that order plain stores of the guest. Nothing in a
 * build without it.
 */
#ifndef RS_BASE_TSAN_H
#define RS_BASE_TSAN_H

#if defined(__SANITIZE_THREAD__)
#define RS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RS_TSAN 1
#endif
#endif

#ifdef RS_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define rs_tsan_acquire(address) __tsan_acquire((void *)(address))
#define rs_tsan_release(address) __tsan_release((void *)(address))
#else
#define rs_tsan_acquire(address) ((void)(address))
#define rs_tsan_release(address) ((void)(address))
#endif

#endif
