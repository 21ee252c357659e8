/* SPDX-License-Identifier: MIT */
#include "tinyvmm/vcpu_state.h"
#include "text/fail.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MSRS_MAX 1024u
#define BODY_MAX 32768u

/*
 * In the order in which KVM wants them back. The segment registers bring the mode of the APIC,
 * without which its registers mean something else; the MSRs come after the APIC, because the
 * deadline of its timer is one of them, and is refused while the timer is in another mode; whether
 * the vCPU runs at all comes last.
 */
static const struct part {
	const char *name;
	unsigned long get, set;
	size_t bytes;
} parts[] = {
	{ "vcpu-xcrs", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs) },
	{ "vcpu-xsave", KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave) },
	{ "vcpu-sregs", KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs) },
	{ "vcpu-lapic", KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state) },
	{ "vcpu-msrs", KVM_GET_MSRS, KVM_SET_MSRS, 0 },
	{ "vcpu-regs", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs) },
	{ "vcpu-debugregs", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs) },
	{ "vcpu-events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events) },
	{ "vcpu-mp-state", KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state) },
};

/* KVM lists some that it then does not let us read, or does not take back. */
static bool msr_travels(const struct vcpu *vcpu, uint32_t index)
{
	union {
		struct kvm_msrs list;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} one = { .list = { .nmsrs = 1 } };

	one.list.entries[0] = (struct kvm_msr_entry){ .index = index };
	return ioctl(vcpu->fd, KVM_GET_MSRS, &one) == 1 && ioctl(vcpu->fd, KVM_SET_MSRS, &one) == 1;
}

int vcpu_state_init(struct vm *vm, struct rs_error *error)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + MSRS_MAX * sizeof(*list->indices));
	int ret = 0;

	vm->msr = calloc(MSRS_MAX, sizeof(*vm->msr));
	if (!list || !vm->msr) {
		free(list);
		return fail(error, -ENOMEM, "out of memory");
	}
	list->nmsrs = MSRS_MAX;
	if (ioctl(vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, list))
		ret = fail(error, -errno, "KVM_GET_MSR_INDEX_LIST: %s", strerror(errno));
	for (uint32_t i = 0; !ret && i < list->nmsrs; i++)
		if (msr_travels(&vm->vcpu[0], list->indices[i]))
			vm->msr[vm->msrs++] = list->indices[i];
	free(list);
	return ret;
}

/* Returns the bytes of the body, or a negative errno. */
static ssize_t get_msrs(const struct vcpu *vcpu, struct kvm_msrs *msrs)
{
	const struct vm *vm = vcpu->vm;
	int ret;

	msrs->nmsrs = vm->msrs;
	for (uint32_t i = 0; i < vm->msrs; i++)
		msrs->entries[i].index = vm->msr[i];
	ret = ioctl(vcpu->fd, KVM_GET_MSRS, msrs);
	if (ret != (int)vm->msrs)
		return ret < 0 ? -errno : -EOPNOTSUPP;
	return (ssize_t)(sizeof(*msrs) + msrs->nmsrs * sizeof(*msrs->entries));
}

/* Returns the bytes of the body, or a negative errno. */
static ssize_t get_part(const struct vcpu *vcpu, const struct part *part, void *body)
{
	memset(body, 0, BODY_MAX);
	if (!part->bytes)
		return get_msrs(vcpu, body);
	return ioctl(vcpu->fd, part->get, body) ? -errno : (ssize_t)part->bytes;
}

static int set_part(const struct vcpu *vcpu, const struct part *part, void *body, uint64_t bytes)
{
	const struct kvm_msrs *msrs = body;
	int ret;

	if (part->bytes)
		return ioctl(vcpu->fd, part->set, body) ? -errno : 0;
	if (bytes < sizeof(*msrs) || msrs->nmsrs > MSRS_MAX ||
	    bytes != sizeof(*msrs) + msrs->nmsrs * sizeof(*msrs->entries))
		return -EINVAL;
	/* KVM says how many it has taken. */
	ret = ioctl(vcpu->fd, part->set, body);
	return ret == (int)msrs->nmsrs ? 0 : ret < 0 ? -errno : -EOPNOTSUPP;
}

int vcpu_state_save(struct vcpu *vcpu, struct rs_device_writer *writer)
{
	struct rs_state *state = vcpu->vm->state;
	uint64_t body[BODY_MAX / 8];
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(parts) / sizeof(*parts); i++) {
		const struct rs_device_section section = {
			.name = parts[i].name,
			.instance = vcpu->number,
			.version = 1,
		};
		ssize_t bytes = get_part(vcpu, &parts[i], body);

		if (bytes < 0)
			ret = rs_migrate_fail(state, (int)bytes, "vcpu %u: cannot read %s: %s",
					      vcpu->number, parts[i].name, strerror((int)-bytes));
		else
			ret = rs_device_save(writer, &section, body, (size_t)bytes);
	}
	return ret;
}

static const struct part *find_part(const char *name)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (!strcmp(parts[i].name, name))
			return &parts[i];
	return NULL;
}

int vcpu_state_load(struct vm *vm, const struct rs_device_section *section, struct rs_stream *body)
{
	const struct part *part = find_part(section->name);
	uint64_t data[BODY_MAX / 8] = { 0 };
	int ret;

	if (!part)
		return -ENOENT;
	if (section->instance >= vm->config.vcpus || section->version != 1 ||
	    section->bytes > BODY_MAX || (part->bytes && section->bytes != part->bytes))
		return rs_migrate_fail(vm->state, -EINVAL,
				       "%s of vcpu %u does not fit this machine", section->name,
				       section->instance);
	ret = rs_stream_get_bytes(body, data, section->bytes);
	if (ret)
		return ret;
	ret = set_part(&vm->vcpu[section->instance], part, data, section->bytes);
	if (!ret)
		return 0;
	return rs_migrate_fail(vm->state, ret, "vcpu %u: cannot set %s: %s", section->instance,
			       section->name, strerror(-ret));
}
