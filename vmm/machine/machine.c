// SPDX-License-Identifier: MIT
#include "machine/internal.h"

#include "base/error.h"
#include "boot/acpi.h"
#include "kvm/kvm_state.h"

#include <string.h>

/*
 * What a machine cannot do without. Hosts lack these only if their KVM is
 * ancient or something else that answers at the same path.
 */
static const struct {
	int capability;
	const char *name;
	const char *since;
} needed[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", "2.6.25"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID", "2.6.26"},
	{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR", "2.6.25"},
	{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING", "2.6.30"},
	{KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI", "3.5"},
	{KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP", "4.4"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "4.13"},
};

static bool check_capabilities(const KvmSystem *system, GError **error)
{
	for (size_t i = 0; i < G_N_ELEMENTS(needed); i++)
		if (!kvm_system_extension(system, needed[i].capability))
			return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
					  "this host's KVM lacks %s (in Linux since %s)",
					  needed[i].name, needed[i].since);
	return true;
}

static bool check_cpus(const KvmSystem *system, unsigned cpus, GError **error)
{
	int max = kvm_system_extension(system, KVM_CAP_MAX_VCPUS);
	unsigned limit = MIN(max ? (unsigned)max : 4, LAYOUT_CPUS_MAX);

	if (cpus < 1 || cpus > limit)
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "%u vCPUs are out of range: 1 to %u on this host", cpus, limit);
	return true;
}

static bool create_vm(Machine *machine, GError **error)
{
	if (!kvm_vm_init(&machine->vm, &machine->system, error))
		return false;
	/* The irqchip comes before memory: slots of a VM that has vCPUs to tell cost more. */
	if (!kvm_vm_set_tss(&machine->vm, LAYOUT_TSS, error) ||
	    !kvm_vm_split_irqchip(&machine->vm, LAYOUT_IOAPIC_PINS, error) ||
	    !kvm_vm_report_all_events(&machine->vm, error))
		return false;
	for (unsigned i = 0; i < machine->memory->n_regions; i++) {
		const MemoryRegion *region = &machine->memory->regions[i];

		if (!kvm_vm_set_memory(&machine->vm, i, region->gpa, region->size, region->host, 0,
				       error))
			return false;
	}
	return true;
}

static bool load_guest(Machine *machine, const MachineConfig *config, GError **error)
{
	BootSource source = {
		.kernel = config->kernel,
		.initrd = config->initrd,
		.cmdline = config->cmdline,
	};

	return acpi_build(machine->memory, config->cpus, &source.rsdp, error) &&
	       boot_load(&source, machine->memory, &machine->boot, error);
}

/* A machine with nothing in it, and the system that it shall run on. */
static Machine *create_empty(const char *kvm_path, const MachineSink *sink, unsigned cpus,
			     GError **error)
{
	g_autoptr(Machine) machine = g_new0(Machine, 1);

	machine->sink = *sink;
	machine->system.fd = -1;
	machine->vm.fd = -1;
	run_state_init(machine);
	if (!kvm_system_init(&machine->system, kvm_path, error) ||
	    !check_capabilities(&machine->system, error) ||
	    !check_cpus(&machine->system, cpus, error))
		return NULL;
	return g_steal_pointer(&machine);
}

Machine *machine_create(const MachineConfig *config, const MachineSink *sink, GError **error)
{
	/* What the user asked for is judged before anything is made. */
	g_autoptr(Machine) machine = create_empty(config->kvm_path, sink, config->cpus, error);

	if (!machine)
		return NULL;
	machine->memory = guest_memory_create(config->memory, error);
	if (!machine->memory || !load_guest(machine, config, error))
		return NULL;
	if (!create_vm(machine, error))
		return NULL;
	machine_add_devices(machine);
	if (!machine_add_vcpus(machine, config->cpus, config, NULL, error) ||
	    !machine_set_entry(machine, error))
		return NULL;
	return g_steal_pointer(&machine);
}

/* What a user asked for is wrong usage; the same in a state does not fit this host. */
static Machine *create_like(const MachineState *outline, const MachineConfig *config,
			    GuestMemory *memory, const MachineSink *sink, GError **error)
{
	unsigned cpus = outline->vcpus->len;
	g_autoptr(GuestMemory) taken = memory;
	g_autoptr(Machine) machine = create_empty(config->kvm_path, sink, cpus, error);

	if (!machine)
		return NULL;
	machine->memory = g_steal_pointer(&taken);
	if (memory->size != outline->memory) {
		umbra_fail(error, UMBRA_ERROR_INPUT,
			   "the state is one of %lu bytes of RAM, and there are %lu",
			   outline->memory, memory->size);
		return NULL;
	}
	if (!create_vm(machine, error))
		return NULL;
	machine_add_devices(machine);
	if (!machine_add_vcpus(machine, cpus, config, outline, error))
		return NULL;
	machine->boot.via = "restored";
	return g_steal_pointer(&machine);
}

Machine *machine_create_like(const MachineState *outline, const MachineConfig *config,
			     GuestMemory *memory, const MachineSink *sink, GError **error)
{
	GError *failure = NULL;
	Machine *machine = create_like(outline, config, memory, sink, &failure);

	if (failure) {
		if (failure->code == UMBRA_ERROR_USAGE)
			failure->code = UMBRA_ERROR_INCOMPATIBLE;
		g_propagate_error(error, failure);
	}
	return machine;
}

void machine_destroy(Machine *machine)
{
	if (!machine)
		return;
	machine_stop(machine);
	machine_remove_vcpus(machine);
	machine_remove_devices(machine);
	kvm_vm_finish(&machine->vm);
	kvm_system_finish(&machine->system);
	dirty_group_destroy(machine->dirty);
	guest_memory_destroy(machine->memory);
	run_state_finish(machine);
	g_free(machine);
}

bool machine_start(Machine *machine, bool paused, GError **error)
{
	if (!vcpu_install_kick_signal(error))
		return false;
	for (unsigned i = 0; i < machine->n_vcpus; i++)
		if (!vcpu_start(&machine->vcpus[i], error)) {
			machine_stop(machine);
			return false;
		}
	if (!paused)
		machine_resume(machine);
	return true;
}

const MachineEnd *machine_wait(Machine *machine)
{
	for (unsigned i = 0; i < machine->n_vcpus; i++)
		vcpu_join(&machine->vcpus[i]);
	return &machine->end;
}

KvmVcpu *machine_vcpu(Machine *machine, unsigned id)
{
	return id < machine->n_vcpus ? &machine->vcpus[id].kvm : NULL;
}

pid_t machine_vcpu_thread_id(Machine *machine, unsigned id)
{
	return id < machine->n_vcpus ? vcpu_thread_id(&machine->vcpus[id]) : 0;
}

unsigned machine_vcpu_count(const Machine *machine)
{
	return machine->n_vcpus;
}

void machine_set_ram(Machine *machine, MachineRam ram, void (*let_go)(void *owner), void *owner)
{
	pthread_mutex_lock(&machine->ram_lock);
	atomic_store(&machine->ram, ram);
	machine->let_go = let_go;
	machine->let_go_owner = owner;
	if (let_go && machine->has_end)
		let_go(owner);
	pthread_mutex_unlock(&machine->ram_lock);
}

void machine_let_go(Machine *machine)
{
	pthread_mutex_lock(&machine->ram_lock);
	if (machine->let_go)
		machine->let_go(machine->let_go_owner);
	pthread_mutex_unlock(&machine->ram_lock);
}

MachineRam machine_ram(const Machine *machine)
{
	return atomic_load(&machine->ram);
}

bool machine_ram_must_be_here(const Machine *machine, GError **error)
{
	return machine_ram(machine) == MACHINE_RAM_HERE ||
	       umbra_fail(
		       error, UMBRA_ERROR_FAILED,
		       "the guest's RAM is not all here: its post-copy migration to this process "
		       "is %s",
		       machine_ram(machine) == MACHINE_RAM_STUCK ? "paused: resume it at the source"
								 : "under way: wait for its end");
}

const GuestMemory *machine_memory(const Machine *machine)
{
	return machine->memory;
}

Serial *machine_console(Machine *machine)
{
	return machine->serial;
}

IoBus *machine_bus(Machine *machine)
{
	return machine->bus;
}

void machine_press_power_button(Machine *machine)
{
	io_bus_lock(machine->bus);
	power_press_button(machine->power);
	io_bus_unlock(machine->bus);
}

const char *machine_boot_path(const Machine *machine)
{
	return machine->boot.via;
}
