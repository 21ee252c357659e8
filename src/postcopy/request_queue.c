/* SPDX-License-Identifier: MIT */
#include "postcopy/request_queue.h"

#include "base/checked.h"
#include "ram/page_claim.h"

/* Pages that are taken from the bitmap at once. */
#define SWEEP_PAGES 4096u

int rs_request_queue_init(struct rs_request_queue *queue, struct rs_state *state)
{
	pthread_mutex_lock(&state->lock);
	uint64_t pages = state->ram_end >> state->page_shift;

	pthread_mutex_unlock(&state->lock);
	*queue = (struct rs_request_queue){ .state = state };
	if (rs_bitmap_init(&queue->noted, rs_max_u64(pages, 1)) != 0)
		return -ENOMEM;
	pthread_mutex_init(&queue->lock, NULL);
	return 0;
}

void rs_request_queue_fini(struct rs_request_queue *queue)
{
	if (queue->noted.words == NULL)
		return;
	rs_bitmap_fini(&queue->noted);
	pthread_mutex_destroy(&queue->lock);
}

/* ---- putting ------------------------------------------------------------------------------- */

static uint64_t page_in_ram(const struct rs_region *region, uint64_t page)
{
	return (region->ram_address >> region->state->page_shift) + page;
}

/* If a request goes on where the last one ended, or lies in it, the two become one. */
static bool join_locked(struct rs_request_queue *queue, const struct rs_page_run *run)
{
	if (queue->head == queue->tail)
		return false;
	struct rs_page_run *last = &queue->ring[(queue->tail - 1) % RS_REQUEST_QUEUE_LENGTH];

	if (last->region != run->region || run->first < last->first ||
	    run->first > last->first + last->count)
		return false;
	last->count = rs_max_u64(last->count, run->first + run->count - last->first);
	return true;
}

static void put_locked(struct rs_request_queue *queue, const struct rs_page_run *run)
{
	bool full = queue->tail - queue->head == RS_REQUEST_QUEUE_LENGTH;

	if (queue->noted_pages == 0 && join_locked(queue, run))
		return;
	if (queue->noted_pages == 0 && !full)
		queue->ring[queue->tail++ % RS_REQUEST_QUEUE_LENGTH] = *run;
	else
		queue->noted_pages += rs_bitmap_set_range(
		    &queue->noted, page_in_ram(run->region, run->first), run->count);
}

void rs_request_queue_put(struct rs_request_queue *queue, const struct rs_page_run *run)
{
	uint64_t end = run->first + run->count;
	uint64_t first = rs_page_claim_find(run->region, run->first, end);

	if (first >= end)
		return;
	const struct rs_page_run left = { run->region, first, end - first };

	pthread_mutex_lock(&queue->lock);
	put_locked(queue, &left);
	pthread_mutex_unlock(&queue->lock);
}

/* ---- taking -------------------------------------------------------------------------------- */

/* The first pages of the region that are noted, at or after the sweep. */
static bool take_noted_of_locked(struct rs_request_queue *queue, struct rs_region *region,
				 struct rs_page_run *run)
{
	uint64_t start = page_in_ram(region, 0), end = start + rs_region_pages(region);
	uint64_t first = rs_bitmap_find_set(&queue->noted, rs_max_u64(start, queue->sweep), end);

	if (first >= end)
		return false;
	end = rs_bitmap_find_clear(&queue->noted, first,
				   rs_min_u64(end, rs_add_saturating(first, SWEEP_PAGES)));
	queue->noted_pages -= rs_bitmap_clear_range(&queue->noted, first, end - first);
	queue->sweep = end;
	*run = (struct rs_page_run){ region, first - start, end - first };
	return true;
}

/* The walk pins, which takes another lock: the queue's is held in between only. */
static bool sweep_on(struct rs_request_queue *queue, struct rs_page_run *run)
{
	struct rs_region *region;

	rs_region_for_each (queue->state, region) {
		pthread_mutex_lock(&queue->lock);
		bool taken = take_noted_of_locked(queue, region, run);

		pthread_mutex_unlock(&queue->lock);
		if (!taken)
			continue;
		rs_region_unpin(region);
		return true;
	}
	queue->sweep = 0;
	return false;
}

bool rs_request_queue_take(struct rs_request_queue *queue, struct rs_page_run *run)
{
	pthread_mutex_lock(&queue->lock);
	bool taken = queue->head != queue->tail, noted = queue->noted_pages != 0;

	if (taken)
		*run = queue->ring[queue->head++ % RS_REQUEST_QUEUE_LENGTH];
	pthread_mutex_unlock(&queue->lock);
	if (taken || !noted)
		return taken;
	/* To the end of RAM, and then from its beginning. */
	return sweep_on(queue, run) || sweep_on(queue, run);
}

bool rs_request_queue_is_empty(struct rs_request_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	bool empty = queue->head == queue->tail && queue->noted_pages == 0;

	pthread_mutex_unlock(&queue->lock);
	return empty;
}

void rs_request_queue_clear(struct rs_request_queue *queue)
{
	if (queue->noted.words == NULL)
		return;
	queue->head = queue->tail = 0;
	if (queue->noted_pages != 0)
		rs_bitmap_reset(&queue->noted);
	queue->noted_pages = 0;
	queue->sweep = 0;
}
