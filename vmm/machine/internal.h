// SPDX-License-Identifier: MIT
/* What the files of this folder share. Nobody else includes it. */
#ifndef UMBRA_MACHINE_INTERNAL_H
#define UMBRA_MACHINE_INTERNAL_H

#include "base/layout.h"
#include "dev/ioapic.h"
#include "dev/power.h"
#include "machine/machine.h"
#include "mem/dirty_set.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct Vcpu {
	KvmVcpu kvm;
	Machine *machine;
	pthread_t thread;
	bool has_thread;
	pid_t thread_id; /* as the kernel counts threads; set once, with run_lock held */
} Vcpu;

typedef struct Throttle Throttle;

typedef enum RunState {
	RUN_STATE_PAUSED, /* vCPUs park; the state in which a machine is created */
	RUN_STATE_RUNNING,
	RUN_STATE_STOPPING, /* vCPUs leave their threads; there is no way back */
} RunState;

struct Machine {
	MachineSink sink;
	KvmSystem system;
	KvmVm vm;
	GuestMemory *memory;
	_Atomic(DirtyGroup *) dirty; /* dirty.c; NULL before the first set */
	bool manual_dirty_log;
	_Atomic MachineRam ram;
	pthread_mutex_t ram_lock; /* of the next two; never waits for RAM with it held */
	void (*let_go)(void *owner);
	void *let_go_owner;
	IoBus *bus;
	Ioapic *ioapic;
	Serial *serial;
	Power *power;
	struct kvm_irq_routing_entry routes[LAYOUT_IOAPIC_PINS];
	BootEntry boot;

	CetCpu host_cpu;	  /* by KVM's supported CPUID */
	CetCpu guest_cpu;	  /* by the CPUID that the vCPUs got */
	struct kvm_cpuid2 *cpuid; /* that CPUID, with the ids of the first */
	uint32_t host_tsc_khz;	  /* of the TSC of a fresh vCPU: the host's */
	Vcpu *vcpus;
	unsigned n_vcpus;

	/* Written with run_lock held, read by vCPUs without: see run_state.c. */
	_Atomic RunState run_state;
	pthread_mutex_t run_lock;
	pthread_cond_t run_changed;
	uint64_t devices_us;	  /* of the last save or load */
	unsigned n_running;	  /* vCPU threads that are not parked and not gone */
	_Atomic bool user_paused; /* the user's wish; these four written with run_lock held */
	_Atomic bool given_away;  /* the guest runs elsewhere: never again here */
	unsigned holds;
	_Atomic bool has_end; /* the first end counts */
	Throttle *throttle;   /* NULL: full speed; of throttle.c */
	MachineEnd end;
};

/* vcpu.c: the thread of one vCPU, and what each of KVM's exits means. */
bool vcpu_start(Vcpu *vcpu, GError **error);
/* Brings the vCPU out of KVM_RUN, if it is in there and this is not its own thread. */
void vcpu_interrupt(Vcpu *vcpu);
void vcpu_join(Vcpu *vcpu);
/* Waits until its thread, if it has one, has come to run. */
pid_t vcpu_thread_id(Vcpu *vcpu);
/* KVM_RUN, and what it came out with is done. False: it was interrupted, or failed. */
bool vcpu_run_once(Vcpu *vcpu);
bool vcpu_install_kick_signal(GError **error);

/* run_state.c: when vCPUs run, park and leave. */
void run_state_init(Machine *machine);
void run_state_finish(Machine *machine);
/* A vCPU's question before each entry: waits while paused; false means leave. */
bool run_state_may_enter(Vcpu *vcpu);
/* Frees whoever waits for RAM: the guest has ended. */
void machine_let_go(Machine *machine);
/* A vCPU thread begins and ends. */
void run_state_thread_begins(Machine *machine);
void run_state_thread_ends(Machine *machine);
/* Records how the guest ended, unless it ended before, and stops all vCPUs. */
void machine_set_end(Machine *machine, const MachineEnd *end);

/* devices.c: creates and connects the devices of every machine. */
void machine_add_devices(Machine *machine);
void machine_remove_devices(Machine *machine);
/* All of their states; and into them, refusing states of other devices. Take the bus lock. */
void machine_save_devices(Machine *machine, MachineState *state);
bool machine_load_devices(Machine *machine, const MachineState *state, GError **error);

/*
 * processors.c: creates the vCPUs with CPUID, MSRs and the first one's entry state. `like`:
 * NULL, or the machine whose CPUID they shall have.
 */
bool machine_add_vcpus(Machine *machine, unsigned cpus, const MachineConfig *config,
		       const MachineState *like, GError **error);
size_t machine_cpuid_size(const struct kvm_cpuid2 *cpuid); /* bytes */
void machine_remove_vcpus(Machine *machine);
bool machine_set_entry(Machine *machine, GError **error);

#endif
