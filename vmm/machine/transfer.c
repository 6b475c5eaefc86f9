// SPDX-License-Identifier: MIT
/*
 * A whole machine, all but its RAM, into plain data and out of it. What a vCPU consists of
 * is the table in stages.c, what the devices are is the one in devices.c.
 */
#include "machine/internal.h"

#include "base/error.h"
#include "kvm/kvm_state.h"
#include "machine/stages.h"
#include "state/compare.h"
#include "state/cpu_features.h"

#include <string.h>
#include <sys/utsname.h>

/* Which CET registers this guest has. All others are left alone: a host need not know them. */
static bool find_cet(const Machine *machine, uint32_t *ret_set, GError **error)
{
	uint32_t served;
	int failed = cet_discover(machine->system.fd, machine->vcpus[0].kvm.fd, &served);

	if (failed)
		return umbra_fail_errno(error, -failed, "which CET registers there are");
	*ret_set = 0;
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (served & 1u << i &&
		    cet_register_exists(i, &machine->guest_cpu, &machine->host_cpu))
			*ret_set |= 1u << i;
	if (served & CET_HAS_XSS && machine->guest_cpu.features & CET_FEATURE_XSAVES)
		*ret_set |= CET_HAS_XSS;
	return true;
}

static bool begin(Transfer *transfer, const Machine *machine, GError **error)
{
	const CpuidWord vmx = {0x1, 0, CPUID_ECX};

	*transfer = (Transfer){
		.system = &machine->system,
		.vmx = cpuid_word(machine->cpuid, &vmx) & 1u << 5,
		.xsave_size = kvm_system_xsave_size(&machine->system),
		.event_flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			       KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM,
	};
	if (kvm_system_extension(&machine->system, KVM_CAP_EXCEPTION_PAYLOAD))
		transfer->event_flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (kvm_system_extension(&machine->system, KVM_CAP_X86_TRIPLE_FAULT_EVENT))
		transfer->event_flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	cet_judge_init(&transfer->judge, &machine->guest_cpu, &machine->host_cpu);
	if (!find_cet(machine, &transfer->cet, error))
		return false;
	transfer->msrs = kvm_system_msr_list(&machine->system, error);
	return transfer->msrs != NULL;
}

static void end(Transfer *transfer)
{
	if (transfer->msrs)
		g_array_unref(transfer->msrs);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Transfer, end)

static bool save_vcpu(Transfer *transfer, KvmVcpu *vcpu, VcpuState *state, GError **error)
{
	for (unsigned i = 0; i < VCPU_N_STAGES; i++)
		if (!vcpu_stages[i].save(transfer, vcpu, state, error))
			return false;
	return true;
}

static bool save_vcpus(Machine *machine, MachineState *state, GError **error)
{
	g_auto(Transfer) transfer = {0};

	if (!begin(&transfer, machine, error) ||
	    !clock_save(&machine->vm, machine->host_tsc_khz, &state->clock, &transfer.moment,
			error))
		return false;
	for (unsigned i = 0; i < machine->n_vcpus; i++) {
		KvmVcpu *vcpu = &machine->vcpus[i].kvm;

		if (kvm_vcpu_is_nested(vcpu))
			return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
					  "vcpu %u: the guest has turned on virtualization of its "
					  "own (VMX or SVM), and umbra cannot save that: stop the "
					  "guest's virtual machines, unload its KVM, and try again",
					  i);
		if (!save_vcpu(&transfer, vcpu, machine_state_add_vcpu(state), error))
			return false;
	}
	return true;
}

MachineState *machine_save(Machine *machine, GError **error)
{
	g_autoptr(MachineState) state = NULL;
	struct utsname names;

	if (!machine_ram_must_be_here(machine, error))
		return NULL;
	state = machine_state_create();
	state->memory = machine->memory->size;
	state->cpuid = g_memdup2(machine->cpuid, machine_cpuid_size(machine->cpuid));
	state->host = machine->host_cpu;
	state->kernel = g_strdup(uname(&names) == 0 ? names.release : "unknown");
	if (!save_vcpus(machine, state, error))
		return NULL;
	int64_t begin = g_get_monotonic_time();

	machine_save_devices(machine, state);
	machine->devices_us = (uint64_t)(g_get_monotonic_time() - begin);
	return g_steal_pointer(&state);
}

/* What KVM refuses is a state that does not fit this host, whatever the reason. */
static bool load_vcpu(Transfer *transfer, KvmVcpu *vcpu, const VcpuState *state, GError **error)
{
	for (unsigned i = 0; i < VCPU_N_STAGES; i++) {
		GError *failure = NULL;

		if (vcpu_stages[i].load(transfer, vcpu, state, &failure))
			continue;
		if (failure->code != UMBRA_ERROR_INPUT)
			failure->code = UMBRA_ERROR_INCOMPATIBLE;
		g_propagate_error(error, failure);
		return false;
	}
	return true;
}

/* Fails with the first thing that came out of KVM other than it went in. */
static bool report(const GPtrArray *differences, GError **error)
{
	for (guint i = 0; i < differences->len; i++) {
		const StateDifference *difference = differences->pdata[i];

		if (!difference->moves)
			return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
					  "%s: %s loaded, %s read back", difference->path,
					  difference->a, difference->b);
	}
	return true;
}

static bool read_back(Transfer *transfer, KvmVcpu *vcpu, const VcpuState *loaded, GError **error)
{
	g_autoptr(MachineState) found = machine_state_create();
	g_autoptr(GPtrArray) differences = state_differences_create();
	g_autofree char *prefix = g_strdup_printf("vcpu %u: ", loaded->id);
	VcpuState *state = machine_state_add_vcpu(found);

	state->id = loaded->id;
	transfer->loaded = loaded;
	if (!save_vcpu(transfer, vcpu, state, error))
		return false;
	for (unsigned i = 0; i < VCPU_N_STAGES; i++)
		if (vcpu_stages[i].settle)
			vcpu_stages[i].settle(loaded, state);
	state_compare(&vcpu_state_group, loaded, state, prefix, differences);
	return report(differences, error);
}

static bool load_vcpus(Machine *machine, const MachineState *state, MachineClock clock,
		       GError **error)
{
	g_auto(Transfer) transfer = {0};

	if (!begin(&transfer, machine, error) ||
	    !clock_load(&machine->vm, machine->host_tsc_khz, &state->clock, clock, &transfer.moment,
			error))
		return false;
	for (unsigned i = 0; i < machine->n_vcpus; i++)
		if (!load_vcpu(&transfer, &machine->vcpus[i].kvm, state->vcpus->pdata[i], error))
			return false;
	for (unsigned i = 0; i < machine->n_vcpus; i++)
		if (!read_back(&transfer, &machine->vcpus[i].kvm, state->vcpus->pdata[i], error))
			return false;
	return true;
}

static bool load_devices(Machine *machine, const MachineState *state, GError **error)
{
	int64_t begin = g_get_monotonic_time();
	g_autoptr(MachineState) found = machine_state_create();
	g_autoptr(GPtrArray) differences = state_differences_create();

	if (!machine_load_devices(machine, state, error))
		return false;
	machine_save_devices(machine, found);
	for (guint i = 0; i < found->devices->len; i++) {
		const DeviceState *device = found->devices->pdata[i];
		const DeviceState *loaded = machine_state_find_device(state, device->kind->name);
		g_autofree char *prefix = g_strdup_printf("%s.", device->kind->name);

		state_compare(device->kind->group, loaded->data, device->data, prefix, differences);
	}
	machine->devices_us = (uint64_t)(g_get_monotonic_time() - begin);
	return report(differences, error);
}

bool machine_load(Machine *machine, const MachineState *state, MachineClock clock, GError **error)
{
	if (state->vcpus->len != machine->n_vcpus)
		return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
				  "the state has %u vCPUs, and the machine %u", state->vcpus->len,
				  machine->n_vcpus);
	/* Devices may send messages while they are loaded: the LAPICs come after them. */
	return load_devices(machine, state, error) && load_vcpus(machine, state, clock, error);
}

uint64_t machine_devices_us(const Machine *machine)
{
	return machine->devices_us;
}
