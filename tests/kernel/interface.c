// SPDX-License-Identifier: MIT
/* What KVM's ioctls take and refuse, over all feature sets. */
#include "box.h"

#include "umbra/one_reg.h"
#include "common/cet_values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

typedef struct Row {
	const char *name;
	uint32_t msr; /* 0: guest_ssp */
} Row;

static const Row rows[] = {
	{"u_cet", MSR_U_CET},
	{"s_cet", MSR_S_CET},
	{"pl0_ssp", MSR_PL0_SSP},
	{"pl1_ssp", 0x6a5},
	{"pl2_ssp", 0x6a6},
	{"pl3_ssp", MSR_PL3_SSP},
	{"int_ssp_tab", MSR_INT_SSP_TAB},
	{"guest_ssp", 0},
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static bool canonical(uint64_t value, unsigned bits)
{
	return (uint64_t)((int64_t)(value << (64 - bits)) >> (64 - bits)) == value;
}

static unsigned linear_bits(void)
{
	static unsigned bits;

	if (!bits) {
		struct kvm_cpuid2 *cpuid = box_cpuid(BOX_ALL);

		bits = 48;
		for (unsigned i = 0; i < cpuid->nent; i++)
			if (cpuid->entries[i].function == 7 && cpuid->entries[i].index == 0 &&
			    cpuid->entries[i].ecx & 1u << 16)
				bits = 57;
		free(cpuid);
	}
	return bits;
}

static bool exists(const Row *row, unsigned features)
{
	switch (row->msr) {
	case MSR_U_CET:
	case MSR_S_CET:
		return features & (BOX_SHSTK | BOX_IBT);
	case MSR_INT_SSP_TAB:
		return (features & (BOX_SHSTK | BOX_LM)) == (BOX_SHSTK | BOX_LM);
	default:
		return features & BOX_SHSTK;
	}
}

/* Said once more, from the manual; and mainline's own rule for bits 13:12. */
static bool legal(const Row *row, uint64_t value, unsigned features)
{
	switch (row->msr) {
	case MSR_U_CET:
	case MSR_S_CET:
		return !(value & 0x3c0) && (value & 0xc00) != 0xc00 &&
		       (features & BOX_SHSTK || !(value & 3)) &&
		       (features & BOX_IBT || !(value & ~3ULL)) &&
		       !(tap_mainline && value & 0x3000) && canonical(value, linear_bits());
	case MSR_INT_SSP_TAB:
		return canonical(value, linear_bits());
	default:
		return value % 4 == 0 && canonical(value, linear_bits());
	}
}

static uint64_t id_of(const Row *row)
{
	return row->msr ? UMBRA_ONE_REG_MSR((uint64_t)row->msr) : UMBRA_ONE_REG_GUEST_SSP;
}

typedef struct Faults {
	unsigned count;
	char first[120];
} Faults;

static void fault(Faults *faults, const char *what, const Row *row, uint64_t value)
{
	if (!faults->count++)
		snprintf(faults->first, sizeof(faults->first), "%s %s %#llx", row->name, what,
			 (unsigned long long)value);
}

/* A register that is there: taken or refused as it should, and what was taken is there. */
static void try_value(Box *box, const Row *row, uint64_t value, bool want, Faults *faults)
{
	uint64_t before, after;

	if (box_get_one_reg(box, id_of(row), &before))
		fault(faults, "unreadable before", row, value);
	if (box_set_one_reg(box, id_of(row), value) != (want ? 0 : -EINVAL))
		fault(faults, want ? "refuses" : "takes", row, value);
	if (box_get_one_reg(box, id_of(row), &after) || after != (want ? value : before))
		fault(faults, "does not hold", row, value);
	if (!row->msr)
		return;
	if (box_set_msr(box, row->msr, value) != (want ? 1 : 0))
		fault(faults, want ? "as MSR refuses" : "as MSR takes", row, value);
	if (box_get_msr(box, row->msr, &after) != 1 || after != (want ? value : before))
		fault(faults, "as MSR does not hold", row, value);
}

/* One that is not: no register, though an MSR that KVM lists reads as zero. */
static void try_absent(Box *box, const Row *row, uint64_t value, Faults *faults)
{
	uint64_t found;

	if (box_set_one_reg(box, id_of(row), value | 1) != -EINVAL)
		fault(faults, "absent and takes", row, value | 1);
	if (!row->msr) {
		if (box_get_one_reg(box, id_of(row), &found) != -EINVAL)
			fault(faults, "absent and readable", row, 0);
		return;
	}
	if (box_set_msr(box, row->msr, value | 1) != 0 || box_set_msr(box, row->msr, 0) != 1)
		fault(faults, "absent, takes other than zero", row, value | 1);
	if (box_get_msr(box, row->msr, &found) != 1 || found)
		fault(faults, "absent and not zero", row, found);
}

static void test_values(unsigned features, unsigned count)
{
	CetValues values = {.state = features};
	Box box;

	box_open(&box, features);
	for (unsigned r = 0; r < N_ROWS; r++) {
		Faults faults = {0};

		for (unsigned i = 0; i < count; i++) {
			uint64_t value = cet_values_next(&values);

			if (exists(&rows[r], features))
				try_value(&box, &rows[r], value, legal(&rows[r], value, features),
					  &faults);
			else
				try_absent(&box, &rows[r], value, &faults);
		}
		tap(!faults.count, "features %u: %s over %u values%s%s", features, rows[r].name,
		    count, faults.count ? ": " : "", faults.first);
	}
	box_close(&box);
}

static void test_listed(void)
{
	struct {
		struct kvm_msr_list head;
		uint32_t index[1024];
	} list = {.head.nmsrs = 1024};
	unsigned found = 0;

	if (ioctl(box_kvm(), KVM_GET_MSR_INDEX_LIST, &list))
		list.head.nmsrs = 0;
	for (unsigned i = 0; i < list.head.nmsrs; i++)
		for (unsigned r = 0; r < N_ROWS; r++)
			found += rows[r].msr && list.index[i] == rows[r].msr;
	tap(found == N_ROWS - 1, "KVM_GET_MSR_INDEX_LIST has the seven MSRs");
	found = 0;
	for (unsigned i = 0; i < list.head.nmsrs; i++)
		found += list.index[i] == MSR_XSS;
	tap(found == 1, "KVM_GET_MSR_INDEX_LIST has IA32_XSS");
	tap(ioctl(box_kvm(), KVM_CHECK_EXTENSION, KVM_CAP_ONE_REG) == 1, "KVM_CAP_ONE_REG");
}

static int reg_list(Box *box, uint64_t room, uint64_t *ret_n, uint64_t *ret_id)
{
	struct {
		uint64_t n;
		uint64_t id[4];
	} list = {.n = room, .id = {0x5a}};
	int result = ioctl(box->vcpu, KVM_GET_REG_LIST, &list) ? -errno : 0;

	*ret_n = list.n;
	*ret_id = list.id[0];
	return result;
}

static void test_reg_list(void)
{
	uint64_t n, id;
	Box box;

	box_open_without_cpuid(&box);
	tap(!reg_list(&box, 4, &n, &id) && n == 0, "KVM_GET_REG_LIST: nothing before CPUID");
	box_close(&box);
	box_open(&box, BOX_IBT | BOX_LM);
	tap(!reg_list(&box, 0, &n, &id) && n == 0, "KVM_GET_REG_LIST: nothing without SHSTK");
	box_close(&box);
	box_open(&box, BOX_ALL);
	tap(reg_list(&box, 0, &n, &id) == -E2BIG && n == 1 && id == 0x5a,
	    "KVM_GET_REG_LIST: E2BIG, and how many there are");
	tap(!reg_list(&box, 4, &n, &id) && n == 1 && id == 0x2030000300000000,
	    "KVM_GET_REG_LIST: guest_ssp");
	tap(ioctl(box.vcpu, KVM_GET_REG_LIST, NULL) && errno == EFAULT,
	    "KVM_GET_REG_LIST: bad pointer");
	box_close(&box);
}

static void test_ids(void)
{
	static const uint64_t bad[] = {
		0x20300003000006a0, /* type KVM, not one of its registers */
		0x2030000300000001, /* the next one after guest_ssp */
		0x20300000000006a0, /* no type */
		0x20300001000006a0, 0x20300004000006a0, 0x203000ff000006a0, /* others */
		0x20200002000006a0, 0x20400002000006a0,			    /* sizes */
		0x30300002000006a0, 0x60300002000006a0, 0,		    /* architectures */
		0x20300102000006a0, 0x20308002000006a0, 0x20310002000006a0, /* reserved bits */
		0x203000024b564dff, /* newer KVM's name for the SSP among themselves */
	};
	uint64_t value;
	Box box;

	box_open(&box, BOX_ALL);
	/* The last one is not refused by every kernel that has it. */
	for (unsigned i = 0; i + 1 < sizeof(bad) / sizeof(bad[0]); i++)
		tap(box_get_one_reg(&box, bad[i], &value) == -EINVAL &&
			    box_set_one_reg(&box, bad[i], 0) == -EINVAL,
		    "ONE_REG: no such register %#llx", (unsigned long long)bad[i]);
	for (unsigned r = 0; r < N_ROWS; r++) {
		struct kvm_one_reg reg = {.id = id_of(&rows[r]), .addr = 8};

		tap(ioctl(box.vcpu, KVM_GET_ONE_REG, &reg) && errno == EFAULT &&
			    ioctl(box.vcpu, KVM_SET_ONE_REG, &reg) && errno == EFAULT,
		    "ONE_REG: bad pointer, %s", rows[r].name);
	}
	tap(ioctl(box.vcpu, KVM_GET_ONE_REG, NULL) && errno == EFAULT, "ONE_REG: no pointer");
	box_close(&box);
}

static void test_control_registers(void)
{
	Box box;

	box_open(&box, BOX_LM);
	tap(box_set_crs(&box, 0x11 | CR0_WP, CR4_CET) == -EINVAL, "CR4.CET: needs a feature");
	box_close(&box);
	for (unsigned features = 1; features < 4; features++) {
		box_open(&box, features | BOX_LM);
		tap(box_set_crs(&box, 0x11 | CR0_WP, CR4_CET) == 0, "CR4.CET: features %u",
		    features);
		tap_beyond(box_set_crs(&box, 0x11, CR4_CET) == -EINVAL, "CR4.CET: needs CR0.WP");
		box_close(&box);
	}
}

static void test_xss(void)
{
	uint64_t value;
	Box box;

	box_open(&box, BOX_ALL);
	tap(box_set_msr(&box, MSR_XSS, 0x1800) == 1 && box_get_msr(&box, MSR_XSS, &value) == 1 &&
		    value == 0x1800,
	    "IA32_XSS: both components");
	tap(box_set_msr(&box, MSR_XSS, 0x800) == 1 && box_set_msr(&box, MSR_XSS, 0x1000) == 1,
	    "IA32_XSS: either");
	tap(box_set_msr(&box, MSR_XSS, 0x100) == 0 && box_set_msr(&box, MSR_XSS, 0x2000) == 0,
	    "IA32_XSS: no other");
	box_close(&box);
}

void test_interface(unsigned count)
{
	test_listed();
	test_reg_list();
	test_ids();
	test_control_registers();
	test_xss();
	for (unsigned features = 0; features <= BOX_ALL; features++)
		test_values(features, count);
}
