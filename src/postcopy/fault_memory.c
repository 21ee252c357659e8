/* SPDX-License-Identifier: MIT */
#include "postcopy/fault_memory.h"

#include "base/error.h"
#include "track/userfaultfd.h"

#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CAN(ioctls, what) (((ioctls) >> (what)&1) != 0)

/* ---- taking the memory ----------------------------------------------------------------------- */

static int refuse(const struct rs_region *region, const struct rs_error *why,
		  struct rs_error *error)
{
	return rs_error_setf(error, why->code, "region %s: %s", region->name, why->text);
}

static int take(struct rs_fault_memory *memory, uint64_t *ioctls, struct rs_error *error)
{
	struct rs_error why = { 0 };

	/* A page that was staged is not missing: that it is not mapped yet is a fault of its own. Kernels
	 * before 5.13 (5.14 of memfds) do not know that, and refuse it. */
	if (memory->region->has_alias &&
	    rs_userfaultfd_take(memory->userfaultfd, memory->start, memory->bytes,
				UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR, ioctls,
				&why) == 0 &&
	    CAN(*ioctls, _UFFDIO_CONTINUE)) {
		memory->staged = true;
		return 0;
	}
	why = (struct rs_error){ 0 };
	if (rs_userfaultfd_take(memory->userfaultfd, memory->start, memory->bytes,
				UFFDIO_REGISTER_MODE_MISSING, ioctls, &why) != 0)
		return refuse(memory->region, &why, error);
	return 0;
}

/* Zeros of which none takes memory, however large a huge page is. */
static int make_zeros(struct rs_fault_memory *memory, struct rs_error *error)
{
	void *zeros = mmap(NULL, memory->page_bytes, PROT_READ,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (zeros == MAP_FAILED)
		return rs_error_setf(error, -ENOMEM, "region %s: no memory for a page of zeros",
				     memory->region->name);
	memory->zeros = zeros;
	return 0;
}

static int look_at(struct rs_fault_memory *memory, uint64_t ioctls, struct rs_error *error)
{
	const struct rs_region *region = memory->region;
	uint64_t system_page = (uint64_t)sysconf(_SC_PAGESIZE);

	memory->can_zero = CAN(ioctls, _UFFDIO_ZEROPAGE);
	/* Only private memory has a page of zeros that belongs to nobody, and UFFDIO_ZEROPAGE maps it. */
	memory->zeros_are_free = memory->can_zero && region->fd < 0 && !region->has_alias &&
				 !rs_region_has(region, RS_REGION_SHARED);
	memory->page_bytes = memory->can_zero ? system_page : region->host_page_bytes;
	if (memory->can_zero)
		return 0;
	if (region->host_page_bytes == system_page)
		return rs_error_setf(
		    error, -EINVAL,
		    "region %s: its memory has huge pages, but its host_page_bytes "
		    "is %llu",
		    region->name, (unsigned long long)region->host_page_bytes);
	return make_zeros(memory, error);
}

int rs_fault_memory_register(struct rs_fault_memory *memory, struct rs_region *region,
			     int userfaultfd, struct rs_error *error)
{
	uint64_t used = atomic_load_explicit(&region->used_bytes, memory_order_relaxed);
	uint64_t unit = rs_placement_bytes(region), ioctls = 0;

	if (!rs_is_aligned(used, unit))
		return rs_error_setf(error, -EINVAL,
				     "region %s: its %llu bytes are not whole pages of %llu",
				     region->name, (unsigned long long)used,
				     (unsigned long long)unit);
	*memory = (struct rs_fault_memory){
		.region = region,
		.userfaultfd = userfaultfd,
		.start = (uintptr_t)region->host,
		.bytes = used,
		.unit_bytes = unit,
		.unit_shift = rs_log2(unit),
	};
	int result = take(memory, &ioctls, error);

	if (result != 0) {
		memory->bytes = 0;
		return result;
	}
	result = look_at(memory, ioctls, error);
	if (result != 0)
		rs_fault_memory_unregister(memory);
	return result;
}

void rs_fault_memory_unregister(struct rs_fault_memory *memory)
{
	if (memory->bytes == 0)
		return;
	/* Explicitly: a forked child may hold the descriptor open, or it is the embedder's. */
	rs_userfaultfd_unregister(memory->userfaultfd, memory->start, memory->bytes);
	if (memory->zeros != NULL)
		munmap((void *)(uintptr_t)memory->zeros, memory->page_bytes);
	*memory = (struct rs_fault_memory){ .bytes = 0 };
}

/* ---- the kernel's calls ---------------------------------------------------------------------- */

/*
 * Each puts in as much as it can of [offset, offset + bytes): how many bytes, or a negative errno if none. The
 * kernel says EAGAIN when it did a part, and when the process's memory is being changed by somebody.
 */
typedef int64_t put_function(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes,
			     const uint8_t *data);

static int64_t how_much(int result, uint64_t bytes, int64_t done)
{
	if (result == 0)
		return (int64_t)bytes;
	if (errno != EAGAIN)
		return -errno;
	if (done > 0)
		return done;
	sched_yield();
	return 0;
}

static int64_t put_copy(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes,
			const uint8_t *data)
{
	struct uffdio_copy copy = {
		.dst = memory->start + offset,
		.src = (uintptr_t)data,
		.len = bytes,
	};
	int result = ioctl(memory->userfaultfd, UFFDIO_COPY, &copy);

	return how_much(result, bytes, copy.copy);
}

static int64_t put_zeros(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes,
			 const uint8_t *data)
{
	struct uffdio_zeropage zero = {
		.range = { .start = memory->start + offset, .len = bytes },
	};
	int result = ioctl(memory->userfaultfd, UFFDIO_ZEROPAGE, &zero);

	(void)data;
	return how_much(result, bytes, zero.zeropage);
}

static int64_t put_staged(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes,
			  const uint8_t *data)
{
	struct uffdio_continue map = {
		.range = { .start = memory->start + offset, .len = bytes },
	};
	int result = ioctl(memory->userfaultfd, UFFDIO_CONTINUE, &map);

	(void)data;
	return how_much(result, bytes, map.mapped);
}

/* Until all is done, or something fails; *done tells how far it got. */
static int put(put_function *function, const struct rs_fault_memory *memory, uint64_t offset,
	       uint64_t bytes, const uint8_t *data, uint64_t *done)
{
	for (*done = 0; *done < bytes;) {
		int64_t more = function(memory, offset + *done, bytes - *done,
					data != NULL ? data + *done : NULL);

		if (more < 0)
			return (int)more;
		*done += (uint64_t)more;
	}
	return 0;
}

/* ---- placing --------------------------------------------------------------------------------- */

/* A page at a time: that is how many zeros there are. */
static int copy_zeros(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes,
		      uint64_t *done)
{
	int result = 0;

	for (*done = 0; result == 0 && *done < bytes;) {
		uint64_t part;

		result =
		    put(put_copy, memory, offset + *done, memory->page_bytes, memory->zeros, &part);
		*done += part;
	}
	return result;
}

static int place_zeros(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes,
		       uint64_t *done)
{
	return memory->can_zero ? put(put_zeros, memory, offset, bytes, NULL, done)
				: copy_zeros(memory, offset, bytes, done);
}

/*
 * Behind the alias something may be there: a page that was staged when the connection broke, or what the kernel
 * populated of its own accord. Where it is, it is made zero, and mapped.
 */
static int place_staged_zeros(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes,
			      uint64_t *done)
{
	uint64_t page_bytes = memory->page_bytes;
	int result = 0;

	for (*done = 0; result == 0 && *done < bytes;) {
		uint64_t part;

		result = place_zeros(memory, offset + *done, bytes - *done, &part);
		*done += part;
		if (result == -EEXIST) {
			memset(memory->region->place + offset + *done, 0, page_bytes);
			result = put(put_staged, memory, offset + *done, page_bytes, NULL, &part);
			*done += part;
		}
	}
	return result;
}

static int place_staged(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes,
			const uint8_t *data, uint64_t *done)
{
	uint8_t *stage = memory->region->place + offset;

	if (data == NULL)
		return place_staged_zeros(memory, offset, bytes, done);
	if (data != stage)
		memcpy(stage, data, bytes);
	return put(put_staged, memory, offset, bytes, NULL, done);
}

int rs_fault_memory_place(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes,
			  const uint8_t *data, struct rs_error *error)
{
	uint64_t done = 0;
	int result;

	if (memory->staged)
		result = place_staged(memory, offset, bytes, data, &done);
	else if (data == NULL)
		result = place_zeros(memory, offset, bytes, &done);
	else
		result = put(put_copy, memory, offset, bytes, data, &done);
	if (result == 0)
		return 0;
	return rs_error_setf(error, result, "region %s: the page at 0x%llx cannot be placed: %s",
			     memory->region->name, (unsigned long long)(offset + done),
			     result == -EEXIST ? "something was there before it came"
					       : rs_errno_text(result));
}

/* ---- answering ------------------------------------------------------------------------------- */

int rs_fault_memory_answer(const struct rs_fault_memory *memory, uint64_t offset, uint64_t end,
			   bool minor, struct rs_error *error)
{
	uint64_t page_bytes = memory->page_bytes, done = 0;
	int result = -EFAULT;

	offset = rs_align_down(offset, page_bytes);
	if (memory->staged && minor)
		result = put(put_staged, memory, offset, end - offset, NULL, &done);
	/* A hole: a page of zeros for which nothing was done. */
	if (result == -EFAULT && done == 0)
		result = place_zeros(memory, offset,
				     memory->zeros_are_free ? end - offset : page_bytes, &done);
	/* It is there: that was under way when the fault was read. Beyond it, all was a favour. */
	if (result == -EEXIST && done == 0)
		rs_fault_memory_wake(memory, offset, page_bytes);
	if (result == 0 || result == -EEXIST || done != 0)
		return 0;
	return rs_error_setf(error, result,
			     "region %s: the page at 0x%llx, which came, cannot be mapped: %s",
			     memory->region->name, (unsigned long long)offset,
			     rs_errno_text(result));
}

void rs_fault_memory_wake(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes)
{
	struct uffdio_range range = { .start = memory->start + offset, .len = bytes };

	ioctl(memory->userfaultfd, UFFDIO_WAKE, &range);
}
