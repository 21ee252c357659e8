/* SPDX-License-Identifier: MIT */
/*
 * What a sync costs of a dirty log that watches a guest under KVM, in milliseconds for each GiB, with
 * a part of the pages written since the last one; what it costs to clear what was found, where that
 * is a thing of its own; and what the guest pays for each page that it writes. For KVM's bitmap,
 * KVM's ring and userfaultfd. The vCPU does not run during the syncs. Goal: 0.5 ms a GiB of clean
 * memory with the bitmap.
 */
#include "bench/kvm_machine.h"
#include "bench/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { ROUNDS = 9, SKIPPED = 77 };

#define GIB (1ull << 30)

static size_t bytes;
static unsigned rounds;

static double per_gib_ms(uint64_t start_ns)
{
	return seconds_since(start_ns) * 1e3 * (double)GIB / (double)bytes;
}

static void check(const struct kvm_machine *machine, int result)
{
	if (result == 0)
		return;
	fprintf(stderr, "%s\n", machine->tracked.error.text);
	exit(1);
}

static double timed_sync(struct kvm_machine *machine)
{
	uint64_t start = rs_clock_ns();

	check(machine, tracked_region_sync(&machine->tracked));
	return per_gib_ms(start);
}

/* As it is when all that was found has been sent. */
static double timed_clear(struct kvm_machine *machine)
{
	struct rs_region *region = machine->tracked.region;

	rs_bitmap_reset(&region->dirty);
	uint64_t start = rs_clock_ns();

	check(machine, rs_dirty_logs_clear(region, 0, bytes / KVM_MACHINE_PAGE));
	return per_gib_ms(start);
}

static void check_found(const struct kvm_machine *machine, uint64_t wanted)
{
	uint64_t found = rs_bitmap_count(&machine->tracked.region->dirty);

	if (found == wanted)
		return;
	fprintf(stderr, "%llu pages found dirty of %llu\n", (unsigned long long)found,
		(unsigned long long)wanted);
	exit(1);
}

static void measure_dirty(struct kvm_machine *machine, const char *name, unsigned percent)
{
	struct samples writes = { .count = 0 }, syncs = { .count = 0 }, clears = { .count = 0 };
	size_t count = bytes / KVM_MACHINE_PAGE * percent / 100;

	for (unsigned round = 0; round < rounds; round++) {
		samples_add(&writes, kvm_machine_write(machine, count));
		samples_add(&syncs, timed_sync(machine));
		check_found(machine, count);
		samples_add(&clears, timed_clear(machine));
	}
	printf(",\"%s_%u_percent_sync_ms_per_gib\":%.3g", name, percent, samples_median(&syncs));
	printf(",\"%s_%u_percent_clear_ms_per_gib\":%.3g", name, percent, samples_median(&clears));
	if (count > 0)
		printf(",\"%s_%u_percent_guest_write_ns\":%.3g", name, percent,
		       samples_median(&writes));
}

static void measure(const char *name, enum kvm_machine_log log)
{
	static const unsigned percents[] = { 0, 1, 100 };
	struct kvm_machine machine;
	struct rs_error error = { 0 };

	if (kvm_machine_create(&machine, log, bytes, &error) != 0) {
		printf(",\"%s_skipped\":\"%s\"", name, error.text);
		return;
	}
	/* As it is in a guest that has been running: the vCPU has all of it mapped. */
	kvm_machine_write(&machine, bytes / KVM_MACHINE_PAGE);
	uint64_t start = rs_clock_ns();

	check(&machine, tracked_region_start(&machine.tracked));
	printf(",\"%s_start_ms_per_gib\":%.3g", name, per_gib_ms(start));
	/* What a log calls dirty at first. */
	printf(",\"%s_first_sync_ms_per_gib\":%.3g", name, timed_sync(&machine));
	printf(",\"%s_first_clear_ms_per_gib\":%.3g", name, timed_clear(&machine));
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
		measure_dirty(&machine, name, percents[i]);
	start = rs_clock_ns();
	tracked_region_stop(&machine.tracked);
	printf(",\"%s_stop_ms_per_gib\":%.3g", name, per_gib_ms(start));
	kvm_machine_destroy(&machine);
}

int main(int argc, char **argv)
{
	bool smoke = is_smoke_run(argc, argv);
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		printf("SKIP: /dev/kvm cannot be opened: %s\n", strerror(errno));
		return SKIPPED;
	}
	close(fd);
	bytes = smoke ? (size_t)16 << 20 : (size_t)GIB;
	rounds = smoke ? 1 : ROUNDS;
	printf("{\"bench\":\"kvm_sync\",\"bytes\":%zu,\"rounds\":%u"
	       ",\"bitmap_0_percent_goal_ms_per_gib\":0.5",
	       bytes, rounds);
	measure("bitmap", KVM_MACHINE_BITMAP);
	/* It hands a full ring's worth of writes over at once, and drops what does not fit. */
	if (access("/sys/module/kvm_pvm", F_OK) == 0)
		printf(",\"ring_skipped\":\"kvm_pvm loses entries of the dirty ring\"");
	else
		measure("ring", KVM_MACHINE_RING);
	measure("userfaultfd", KVM_MACHINE_USERFAULTFD);
	printf("}\n");
	return 0;
}
