// SPDX-License-Identifier: MIT
/* What the files of this folder share. Nobody else includes it. */
#ifndef UMBRA_MACHINE_INTERNAL_H
#define UMBRA_MACHINE_INTERNAL_H

#include "base/layout.h"
#include "dev/ioapic.h"
#include "dev/power.h"
#include "machine/machine.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct Vcpu {
	KvmVcpu kvm;
	Machine *machine;
	pthread_t thread;
	bool has_thread;
} Vcpu;

struct Machine {
	MachineSink sink;
	KvmSystem system;
	KvmVm vm;
	GuestMemory *memory;
	IoBus *bus;
	Ioapic *ioapic;
	Serial *serial;
	Power *power;
	struct kvm_irq_routing_entry routes[LAYOUT_IOAPIC_PINS];
	BootEntry boot;

	Vcpu *vcpus;
	unsigned n_vcpus;

	/* Set once, then every vCPU leaves its loop. */
	atomic_bool stopping;
	/* Guarded by end_lock; the first end counts. */
	pthread_mutex_t end_lock;
	bool has_end;
	MachineEnd end;
};

/* vcpu.c: the thread of one vCPU, and what each of KVM's exits means. */
bool vcpu_start(Vcpu *vcpu, GError **error);
void vcpu_kick(Vcpu *vcpu);
void vcpu_join(Vcpu *vcpu);
bool vcpu_install_kick_signal(GError **error);

/* machine.c: records how the guest ended, unless it ended before, and stops all vCPUs. */
void machine_set_end(Machine *machine, const MachineEnd *end);

/* devices.c: creates and connects the devices of every machine. */
void machine_add_devices(Machine *machine);
void machine_remove_devices(Machine *machine);

/* processors.c: creates the vCPUs with CPUID, MSRs and the first one's entry state. */
bool machine_add_vcpus(Machine *machine, unsigned cpus, CetPolicy cet, GError **error);
void machine_remove_vcpus(Machine *machine);
bool machine_set_entry(Machine *machine, GError **error);

#endif
