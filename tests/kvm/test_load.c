// SPDX-License-Identifier: MIT
/*
 * A machine's state loaded as it is, and changed in ways that must be refused, or that
 * must show: its clocks. Runs with any KVM, and says of the parts that this one cannot
 * do why it skips them. UMBRA_GUESTS is the folder of the tiny guests.
 */
#include "base/error.h"
#include "kvm/host.h"
#include "kvm/kvm_state.h"
#include "machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MEMORY (64UL << 20)
#define SECOND 1000000000UL
#define HOUR   (3600 * SECOND)
#define MINUTE (60 * SECOND)
#define HERE   g_getenv("UMBRA_GUESTS")

static void on_ended(void *owner G_GNUC_UNUSED)
{
}

static size_t on_output(void *owner G_GNUC_UNUSED, const uint8_t *data G_GNUC_UNUSED, size_t length)
{
	return length;
}

static const MachineSink sink = {on_ended, {on_output, NULL}, NULL};

/* The state of a machine with two vCPUs that have not run yet. */
static MachineState *example(CetPolicy cet)
{
	g_autofree char *kernel = g_build_filename(HERE, "hello", NULL);
	MachineConfig config = {.kvm_path = KVM_DEFAULT_PATH,
				.memory = MEMORY,
				.cpus = 2,
				.cet = cet,
				.kernel = kernel,
				.cmdline = ""};
	GError *error = NULL;
	g_autoptr(Machine) machine = machine_create(&config, &sink, &error);

	g_assert_no_error(error);
	MachineState *state = machine_save(machine, &error);

	g_assert_no_error(error);
	return state;
}

static VcpuState *vcpu_of(const MachineState *state, unsigned id)
{
	return state->vcpus->pdata[id];
}

static Machine *create(const MachineState *state, CetPolicy cet, GError **error)
{
	MachineConfig config = {.kvm_path = KVM_DEFAULT_PATH, .cet = cet};

	return machine_create_like(state, &config, guest_memory_create(MEMORY, NULL), &sink, error);
}

/* Loads the state into a new machine, and gives that one's own. */
static MachineState *load(const MachineState *state, MachineClock clock, GError **error)
{
	g_autoptr(Machine) machine = create(state, CET_POLICY_AUTO, error);

	if (!machine || !machine_load(machine, state, clock, error))
		return NULL;
	return machine_save(machine, error);
}

static void assert_error(GError **error, UmbraError code, const char *text)
{
	g_assert_error(*error, UMBRA_ERROR, (int)code);
	g_test_message("%s", (*error)->message);
	g_assert_nonnull(strstr((*error)->message, text));
	g_clear_error(error);
}

static void assert_refused(const MachineState *state, UmbraError code, const char *text)
{
	GError *error = NULL;

	g_assert_null(load(state, MACHINE_CLOCK_STANDS, &error));
	assert_error(&error, code, text);
}

/* Some KVM keep the TSC that they have. */
static bool tsc_can_be_set(void)
{
	KvmSystem system;
	KvmVm vm;
	KvmVcpu vcpu;
	uint64_t found = 0;
	bool can = false;

	g_assert_true(kvm_system_init(&system, KVM_DEFAULT_PATH, NULL));
	g_assert_true(kvm_vm_init(&vm, &system, NULL));
	g_assert_true(kvm_vcpu_init(&vcpu, &vm, 0, NULL));
	can = kvm_vcpu_has_tsc_offset(&vcpu) && kvm_vcpu_set_tsc_offset(&vcpu, 12345, NULL) &&
	      kvm_vcpu_get_tsc_offset(&vcpu, &found, NULL) && found == 12345;
	kvm_vcpu_finish(&vcpu);
	kvm_vm_finish(&vm);
	kvm_system_finish(&system);
	return can;
}

/* An hour passes between save and load. Where the TSC cannot follow, it does not. */
static void test_clock(void)
{
	g_autoptr(MachineState) state = example(CET_POLICY_AUTO);
	uint64_t between = tsc_can_be_set() ? HOUR : 0;
	GError *error = NULL;

	g_assert_true(state->clock.flags & KVM_CLOCK_REALTIME);
	state->clock.realtime -= between;
	g_autoptr(MachineState) stood = load(state, MACHINE_CLOCK_STANDS, &error);

	g_assert_no_error(error);
	g_autoptr(MachineState) went_on = load(state, MACHINE_CLOCK_GOES_ON, &error);

	g_assert_no_error(error);
	g_assert_cmpuint(stood->clock.clock - state->clock.clock, <, MINUTE);
	g_assert_cmpuint(went_on->clock.clock - state->clock.clock - between, <, MINUTE);
	if (!between)
		g_test_skip("no hour: this machine's KVM takes TSC offsets and keeps its own");
}

static uint64_t ticks(const MachineState *state, uint64_t ns)
{
	return ns / 1000000 * vcpu_of(state, 0)->tsc_khz;
}

/* The TSC keeps step with kvmclock, and one vCPU's with the other's. */
static void test_tsc(void)
{
	g_autoptr(MachineState) state = example(CET_POLICY_AUTO);
	VcpuState *first = vcpu_of(state, 0), *second = vcpu_of(state, 1);
	GError *error = NULL;

	if (!tsc_can_be_set()) {
		g_test_skip("this machine's KVM takes TSC offsets and keeps its own");
		return;
	}
	g_assert_cmpuint(first->tsc, ==, second->tsc);
	first->tsc = ticks(state, 10 * HOUR);
	second->tsc = first->tsc + 4711;
	state->clock.realtime -= HOUR;
	g_autoptr(MachineState) stood = load(state, MACHINE_CLOCK_STANDS, &error);

	g_assert_no_error(error);
	g_autoptr(MachineState) went_on = load(state, MACHINE_CLOCK_GOES_ON, &error);

	g_assert_no_error(error);
	const MachineState *both[] = {stood, went_on};

	for (unsigned i = 0; i < 2; i++) {
		uint64_t passed = vcpu_of(both[i], 0)->tsc - first->tsc;
		uint64_t ns = both[i]->clock.clock - state->clock.clock;
		int64_t off = (int64_t)(passed - ticks(state, ns));

		g_assert_cmpuint(vcpu_of(both[i], 1)->tsc - vcpu_of(both[i], 0)->tsc, ==, 4711);
		/* By what the two clocks' rates differ, and rounding to a millisecond. */
		g_assert_cmpint(ABS(off), <, (int64_t)ticks(state, 1000000 + ns / 10000));
	}
}

static void test_tsc_never_backwards(void)
{
	g_autoptr(MachineState) state = example(CET_POLICY_AUTO);

	if (tsc_can_be_set()) {
		g_test_skip("this machine's KVM sets TSCs to any value");
		return;
	}
	vcpu_of(state, 1)->tsc += 1UL << 60;
	assert_refused(state, UMBRA_ERROR_INCOMPATIBLE, "vcpu 1: ");
}

static void set_msr(MachineState *state, uint32_t index, uint64_t value)
{
	struct kvm_msr_entry entry = {.index = index, .data = value};

	g_array_append_val(vcpu_of(state, 1)->msrs, entry);
}

static void test_msrs(void)
{
	g_autoptr(MachineState) tsc = example(CET_POLICY_AUTO), odd = example(CET_POLICY_AUTO),
				zero = example(CET_POLICY_AUTO), bad = example(CET_POLICY_AUTO);
	GError *error = NULL;

	set_msr(tsc, 0x10, 1);
	assert_refused(tsc, UMBRA_ERROR_INPUT, "vcpu 1: MSR 0x10 (tsc) = 0x1");
	set_msr(odd, 0x12345678, 0x9);
	assert_refused(odd, UMBRA_ERROR_INCOMPATIBLE, "vcpu 1: MSR 0x12345678 = 0x9");
	/* Nothing is lost with one that holds zero, as it would here. */
	set_msr(zero, 0x12345678, 0);
	g_autoptr(MachineState) loaded = load(zero, MACHINE_CLOCK_STANDS, &error);

	g_assert_no_error(error);
	g_assert_nonnull(loaded);
	/* A value that KVM refuses: no canonical address. */
	for (guint i = 0; i < vcpu_of(bad, 1)->msrs->len; i++) {
		struct kvm_msr_entry *entry =
			&g_array_index(vcpu_of(bad, 1)->msrs, struct kvm_msr_entry, i);

		if (entry->index == 0xc0000082)
			entry->data = 1UL << 63;
	}
	assert_refused(bad, UMBRA_ERROR_INCOMPATIBLE,
		       "MSR 0xc0000082 (lstar) = 0x8000000000000000");
}

static void test_other_machines(void)
{
	g_autoptr(MachineState) state = example(CET_POLICY_AUTO);
	GError *error = NULL;
	g_autoptr(Machine) machine = create(state, CET_POLICY_AUTO, &error);

	g_assert_no_error(error);
	machine_state_add_vcpu(state);
	g_assert_false(machine_load(machine, state, MACHINE_CLOCK_STANDS, &error));
	assert_error(&error, UMBRA_ERROR_INCOMPATIBLE, "3 vCPUs, and the machine 2");
	g_ptr_array_set_size(state->vcpus, 2);
	state->memory *= 2;
	g_assert_null(create(state, CET_POLICY_AUTO, &error));
	assert_error(&error, UMBRA_ERROR_INPUT, "RAM");
	g_ptr_array_set_size(state->vcpus, 0);
	g_assert_null(create(state, CET_POLICY_AUTO, &error));
	assert_error(&error, UMBRA_ERROR_INCOMPATIBLE, "0 vCPUs");
}

static void test_devices(void)
{
	g_autoptr(MachineState) fewer = example(CET_POLICY_AUTO), twice = example(CET_POLICY_AUTO),
				torn = example(CET_POLICY_AUTO);
	IoapicState *ioapic = machine_state_find_device(torn, "ioapic")->data;

	g_ptr_array_set_size(fewer->devices, 1);
	assert_refused(fewer, UMBRA_ERROR_INPUT, "no device serial");
	machine_state_add_device(twice, device_kind_find("power"));
	assert_refused(twice, UMBRA_ERROR_INPUT, "more than one device power");
	/* The serial port does not pull its line, and the I/O APIC has it asserted. */
	ioapic->lines = 1u << 4;
	assert_refused(torn, UMBRA_ERROR_INCOMPATIBLE, "ioapic.lines: 0x10 loaded, 0 read back");
}

static void test_vcpus(void)
{
	g_autoptr(MachineState) xsave = example(CET_POLICY_AUTO), flags = example(CET_POLICY_AUTO),
				large = example(CET_POLICY_AUTO);
	static const uint8_t more[4096] = {1};

	g_byte_array_set_size(vcpu_of(xsave, 0)->xsave, 500);
	assert_refused(xsave, UMBRA_ERROR_INPUT, "vcpu 0: xsave has 500 bytes");
	g_byte_array_append(vcpu_of(large, 0)->xsave, more, sizeof(more));
	assert_refused(large, UMBRA_ERROR_INCOMPATIBLE, "vcpu 0: xsave has ");
	vcpu_of(flags, 1)->events.flags = 1u << 31;
	assert_refused(flags, UMBRA_ERROR_INPUT, "vcpu 1: events.flags = 0x80000000");
}

static void test_cet_wishes(void)
{
	g_autoptr(MachineState) without = example(CET_POLICY_OFF);
	g_autoptr(MachineState) with = example(CET_POLICY_AUTO);
	GError *error = NULL;
	g_autoptr(Machine) machine = create(without, CET_POLICY_OFF, &error);

	g_assert_no_error(error);
	g_assert_nonnull(machine);
	g_assert_null(create(without, CET_POLICY_ON, &error));
	assert_error(&error, UMBRA_ERROR_INCOMPATIBLE, "--cet on: ");
	if (!(with->host.features & CET_FEATURE_SHSTK)) {
		g_test_skip("this machine's KVM has no CET to take away");
		return;
	}
	g_assert_null(create(with, CET_POLICY_OFF, &error));
	assert_error(&error, UMBRA_ERROR_INCOMPATIBLE, "--cet off: ");
}

/* What the judge of the library says keeps KVM from being asked. */
static void test_cet(void)
{
	g_autoptr(MachineState) state = example(CET_POLICY_AUTO);
	VcpuState *vcpu = vcpu_of(state, 0);

	if (!(state->host.features & CET_FEATURE_SHSTK)) {
		/* A guest that has seen CET does not load here at all. */
		vcpu->sregs.cr4 |= 1 << 23;
		assert_refused(state, UMBRA_ERROR_INCOMPATIBLE, "vcpu 0: KVM_SET_SREGS2");
		g_test_skip("this machine's KVM has no CET");
		return;
	}
	g_assert_cmphex(vcpu->cet.has, ==, (1 << CET_N_REGS) - 1 + CET_HAS_XSS + CET_HAS_CR);
	/* KVM would report success and drop it. */
	vcpu->cet.value[CET_U_CET] = 0x8000000000000004;
	assert_refused(state, UMBRA_ERROR_INCOMPATIBLE, "vcpu 0: u_cet=0x8000000000000004");
}

/* What is guessed without a VM is what a vCPU answers. */
static void test_host_quick(void)
{
	const HostPaths paths = {0};
	g_auto(HostInfo) full = {0}, quick = {0};

	host_probe(&paths, &full);
	host_probe_quick(&paths, &quick);
	g_assert_cmpint(quick.access, ==, HOST_KVM_USABLE);
	g_assert_true(quick.guest_ssp == full.guest_ssp);
	g_assert_cmpuint(quick.n_msrs, ==, full.n_msrs);
	g_assert_cmphex(quick.xcr0, ==, full.xcr0);
}

static const char *kvm_missing(void)
{
	int fd = open(KVM_DEFAULT_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return g_strerror(errno);
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	const char *missing = kvm_missing();

	g_test_init(&argc, &argv, NULL);
	if (missing) {
		printf("1..0 # SKIP %s: %s\n", KVM_DEFAULT_PATH, missing);
		return 0;
	}
	g_test_add_func("/load/clock", test_clock);
	g_test_add_func("/load/tsc", test_tsc);
	g_test_add_func("/load/tsc-never-backwards", test_tsc_never_backwards);
	g_test_add_func("/load/msrs", test_msrs);
	g_test_add_func("/load/other-machines", test_other_machines);
	g_test_add_func("/load/devices", test_devices);
	g_test_add_func("/load/vcpus", test_vcpus);
	g_test_add_func("/load/cet-wishes", test_cet_wishes);
	g_test_add_func("/load/cet", test_cet);
	g_test_add_func("/load/host-quick", test_host_quick);
	return g_test_run();
}
