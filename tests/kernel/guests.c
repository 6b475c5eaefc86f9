// SPDX-License-Identifier: MIT
/* What a running guest has, and what is left of it where something comes in between. */
#include "box.h"

#include "umbra/one_reg.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* From code.S. */
#define CODE(name) extern const uint8_t name[], name##_end[]
CODE(code_swap);
CODE(code_xsaves);
CODE(code_call);
CODE(code_mmio_mov);
CODE(code_mmio_jmp);
CODE(code_mmio_call);
CODE(code_write_u_cet);
CODE(code_clear_wp);
CODE(code_smi);
CODE(code_rsm);
CODE(code_rsm_spoilt);

#define LOAD(box, at, name) box_put(box, at, name, (size_t)(name##_end - (name)))

/* The order of code_swap. */
static const uint32_t swapped[] = {0x6a4, 0x6a5, 0x6a6, 0x6a7, 0x6a8, 0x6a0, 0x6a2};
#define N_SWAPPED (sizeof(swapped) / sizeof(swapped[0]))

/* A different legal value for each register and each `seed`. Control registers stay off. */
static uint64_t value_of(unsigned i, unsigned seed)
{
	uint64_t address = 0xffff800000000000 + ((uint64_t)seed << 20) + 0x4000 * i;

	return i < 5 ? address : (address | (i == 5 ? 0x10 : 0x20));
}

static bool guest_found(const Box *box, unsigned seed)
{
	for (unsigned i = 0; i < N_SWAPPED; i++)
		if (box_peek(box, BOX_OUT + 8 * i) != value_of(i, seed)) {
			printf("# guest has %#llx in %#x\n",
			       (unsigned long long)box_peek(box, BOX_OUT + 8 * i), swapped[i]);
			return false;
		}
	return true;
}

static bool host_finds(Box *box, unsigned seed)
{
	uint64_t value;

	for (unsigned i = 0; i < N_SWAPPED; i++)
		if (box_get_msr(box, swapped[i], &value) != 1 || value != value_of(i, seed)) {
			printf("# host has %#llx in %#x\n", (unsigned long long)value, swapped[i]);
			return false;
		}
	return true;
}

static void give_guest(Box *box, unsigned seed)
{
	for (unsigned i = 0; i < N_SWAPPED; i++)
		box_poke(box, BOX_IN + 8 * i, value_of(i, seed));
}

static bool host_gives(Box *box, unsigned seed)
{
	for (unsigned i = 0; i < N_SWAPPED; i++)
		if (box_set_msr(box, swapped[i], value_of(i, seed)) != 1)
			return false;
	return true;
}

static bool runs_to_out(Box *box)
{
	uint32_t reason = box_run(box);

	if (reason != KVM_EXIT_IO || box->run->io.port != 0x10)
		printf("# exit %u instead of OUT\n", reason);
	return reason == KVM_EXIT_IO && box->run->io.port == 0x10;
}

static void open_with(Box *box, unsigned features, const uint8_t *code, const uint8_t *end)
{
	box_open(box, features);
	box_enter_long_mode(box, features & (BOX_SHSTK | BOX_IBT));
	box_put(box, BOX_CODE, code, (size_t)(end - code));
}
#define OPEN(box, features, name) open_with(box, features, name, name##_end)

/* Host to guest, guest to host, and two vCPUs that take turns on one CPU. */
static void test_exchange(void)
{
	Box a, b;
	bool ok = true;

	OPEN(&a, BOX_ALL, code_swap);
	OPEN(&b, BOX_ALL, code_swap);
	tap(host_gives(&a, 1) && host_gives(&b, 2), "exchange: the host sets all MSRs");
	give_guest(&a, 3);
	give_guest(&b, 4);
	tap(runs_to_out(&a) && guest_found(&a, 1), "exchange: the guest finds what the host set");
	tap(host_finds(&a, 3), "exchange: the host finds what the guest set");
	tap(runs_to_out(&b) && guest_found(&b, 2) && host_finds(&b, 4),
	    "exchange: the other guest has its own");
	for (unsigned i = 5; i < 50 && ok; i += 2) {
		give_guest(&a, i);
		give_guest(&b, i + 1);
		ok = runs_to_out(&a) && guest_found(&a, i - 2) && runs_to_out(&b) &&
		     guest_found(&b, i - 1);
	}
	tap(ok, "exchange: two guests take turns");
	box_close(&a);
	box_close(&b);
}

static void test_xsaves(void)
{
	static const uint32_t order[] = {0x6a0, 0x6a7, 0x6a4, 0x6a5, 0x6a6};
	bool ok = true;
	uint64_t value;
	Box box;

	OPEN(&box, BOX_ALL, code_xsaves);
	host_gives(&box, 1);
	if (!runs_to_out(&box))
		ok = false;
	/* Compacted: the legacy area, the header, 16 bytes of CET_U and 24 of CET_S. */
	for (unsigned i = 0; i < 5 && ok; i++) {
		box_get_msr(&box, order[i], &value);
		ok = value && box_peek(&box, BOX_XSAVE + 576 + 8 * i) == value;
	}
	tap(ok, "XSAVES: both components");
	for (unsigned i = 0; i < 5; i++)
		box_poke(&box, BOX_XSAVE + 576 + 8 * i, 0x1000 * (i + 1));
	ok = runs_to_out(&box);
	for (unsigned i = 0; i < 5 && ok; i++)
		ok = box_get_msr(&box, order[i], &value) == 1 && value == 0x1000 * (i + 1);
	tap(ok, "XRSTORS: both components");
	box_close(&box);
}

static void test_guest_ssp(void)
{
	const uint64_t top = BOX_SHADOW_STACK + 0x800;
	uint64_t value = 0;
	Box box;

	OPEN(&box, BOX_ALL, code_call);
	tap(box_set_msr(&box, MSR_S_CET, 1) == 1 &&
		    !box_set_one_reg(&box, UMBRA_ONE_REG_GUEST_SSP, top),
	    "guest_ssp: set");
	tap(runs_to_out(&box) && box_peek(&box, BOX_OUT) == top &&
		    box_peek(&box, BOX_OUT + 8) == top - 8,
	    "guest_ssp: the guest calls on it");
	tap(!box_get_one_reg(&box, UMBRA_ONE_REG_GUEST_SSP, &value) && value == top - 8,
	    "guest_ssp: read inside the call");
	/* Move the shadow stack away under the guest, with the one return address on it. */
	box_poke(&box, top - 0x408, box_peek(&box, top - 8));
	box_poke(&box, top - 8, 0);
	tap(!box_set_one_reg(&box, UMBRA_ONE_REG_GUEST_SSP, top - 0x408) && runs_to_out(&box) &&
		    box_peek(&box, BOX_OUT + 16) == top - 0x400,
	    "guest_ssp: the guest returns on another");
	box_close(&box);
}

static void pend_init(Box *box)
{
	struct kvm_vcpu_events events;
	struct kvm_mp_state state;

	if (ioctl(box->vcpu, KVM_GET_VCPU_EVENTS, &events))
		err(2, "KVM_GET_VCPU_EVENTS");
	events.flags = KVM_VCPUEVENT_VALID_SMM;
	events.smi.latched_init = 1;
	if (ioctl(box->vcpu, KVM_SET_VCPU_EVENTS, &events))
		err(2, "KVM_SET_VCPU_EVENTS");
	/* Asking for the state makes KVM accept what is pending. */
	if (ioctl(box->vcpu, KVM_GET_MP_STATE, &state))
		err(2, "KVM_GET_MP_STATE");
}

static void test_init(void)
{
	uint64_t value = 1, sum = 0;
	Box box;

	OPEN(&box, BOX_ALL, code_swap);
	host_gives(&box, 1);
	give_guest(&box, 2);
	box_set_one_reg(&box, UMBRA_ONE_REG_GUEST_SSP, 0x1000);
	runs_to_out(&box);
	pend_init(&box);
	for (unsigned i = 0; i < N_SWAPPED; i++) {
		box_get_msr(&box, swapped[i], &value);
		sum |= value;
		if (value)
			printf("# %#x is %#llx\n", swapped[i], (unsigned long long)value);
	}
	tap(!sum, "INIT: all MSRs are zero");
	tap(!box_get_one_reg(&box, UMBRA_ONE_REG_GUEST_SSP, &value) && !value,
	    "INIT: guest_ssp is zero");
	box_close(&box);
}

static void open_smm(Box *box, const uint8_t *handler, const uint8_t *end)
{
	OPEN(box, BOX_ALL, code_smi);
	box_put(box, BOX_SMBASE + 0x8000, handler, (size_t)(end - handler));
	box_set_msr(box, MSR_S_CET, 1);
	box_set_one_reg(box, UMBRA_ONE_REG_GUEST_SSP, BOX_SHADOW_STACK + 0x800);
}

static void test_smm(void)
{
	struct kvm_sregs sregs;
	Box box;

	open_smm(&box, code_rsm, code_rsm_end);
	runs_to_out(&box);
	if (ioctl(box.vcpu, KVM_SMI, 0))
		err(2, "KVM_SMI");
	box_poke(&box, BOX_OUT, 0);
	tap_beyond(runs_to_out(&box) && box_peek(&box, BOX_OUT) == BOX_SHADOW_STACK + 0x800,
		   "SMM: the SSP is back after a handler that cleared CR0.WP");
	tap(box_peek(&box, BOX_SMBASE + 0xff18) == BOX_SHADOW_STACK + 0x800,
	    "SMM: the SSP is where the processor saves it");
	ioctl(box.vcpu, KVM_GET_SREGS, &sregs);
	tap_beyond(sregs.cr4 & CR4_CET && sregs.cr0 & CR0_WP, "SMM: CR4.CET and CR0.WP are back");
	box_close(&box);
	open_smm(&box, code_rsm_spoilt, code_rsm_spoilt_end);
	runs_to_out(&box);
	ioctl(box.vcpu, KVM_SMI, 0);
	tap(box_run(&box) == KVM_EXIT_SHUTDOWN, "SMM: a spoilt SSP shuts the guest down");
	box_close(&box);
}

static uint32_t run_under(const uint8_t *code, const uint8_t *end, uint64_t s_cet)
{
	uint32_t reason;
	Box box;

	open_with(&box, BOX_ALL, code, end);
	box_set_msr(&box, MSR_S_CET, s_cet);
	box_set_one_reg(&box, UMBRA_ONE_REG_GUEST_SSP, BOX_SHADOW_STACK + 0x800);
	reason = box_run(&box);
	box_close(&box);
	return reason;
}
#define RUN_UNDER(name, s_cet) run_under(name, name##_end, s_cet)

static void test_emulator(void)
{
	tap(RUN_UNDER(code_mmio_mov, 5) == KVM_EXIT_MMIO, "emulator: MOV from a device");
	tap(RUN_UNDER(code_mmio_jmp, 0) == KVM_EXIT_MMIO, "emulator: JMP, CET off");
	tap(RUN_UNDER(code_mmio_call, 0) == KVM_EXIT_MMIO, "emulator: CALL, CET off");
	tap(RUN_UNDER(code_mmio_jmp, 1) == KVM_EXIT_MMIO, "emulator: JMP, shadow stacks");
	tap(RUN_UNDER(code_mmio_call, 1) == KVM_EXIT_INTERNAL_ERROR,
	    "emulator: no CALL with shadow stacks");
	tap(RUN_UNDER(code_mmio_jmp, 4) == KVM_EXIT_INTERNAL_ERROR, "emulator: no JMP with IBT");
	tap(RUN_UNDER(code_mmio_call, 4) == KVM_EXIT_INTERNAL_ERROR, "emulator: no CALL with IBT");
}

static uint32_t write_u_cet(unsigned features, uint64_t value)
{
	uint32_t reason;
	Box box;

	OPEN(&box, features, code_write_u_cet);
	box_poke(&box, BOX_IN, value);
	reason = box_run(&box);
	box_close(&box);
	return reason;
}

static void test_guest_writes(void)
{
	Box box;

	tap(write_u_cet(BOX_ALL, 0x3007) == KVM_EXIT_IO, "guest: both features' bits, any page");
	tap(write_u_cet(BOX_ALL, 0x40) == KVM_EXIT_SHUTDOWN, "guest: no reserved bit");
	tap(write_u_cet(BOX_SHSTK | BOX_LM, 3) == KVM_EXIT_IO, "guest with SHSTK: its bits");
	tap_beyond(write_u_cet(BOX_SHSTK | BOX_LM, 4) == KVM_EXIT_SHUTDOWN,
		   "guest with SHSTK: not those of IBT");
	tap(write_u_cet(BOX_IBT | BOX_LM, 4) == KVM_EXIT_IO, "guest with IBT: its bits");
	tap_beyond(write_u_cet(BOX_IBT | BOX_LM, 1) == KVM_EXIT_SHUTDOWN,
		   "guest with IBT: not those of SHSTK");
	tap(write_u_cet(BOX_LM, 0) == KVM_EXIT_SHUTDOWN, "guest without CET: no register");
	OPEN(&box, BOX_ALL, code_clear_wp);
	tap(box_run(&box) == KVM_EXIT_SHUTDOWN, "guest: CR0.WP stays while CR4.CET is set");
	box_close(&box);
}

void test_guests(void)
{
	test_exchange();
	test_xsaves();
	test_guest_ssp();
	test_init();
	test_smm();
	test_emulator();
	test_guest_writes();
}
