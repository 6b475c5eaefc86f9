// SPDX-License-Identifier: MIT
/*
 * The machine owns everything a guest is: the VM, its memory, its buses and
 * devices, its vCPU threads. Nothing runs before machine_start(); after the
 * guest has ended, or machine_stop(), no vCPU runs any more.
 */
#ifndef UMBRA_MACHINE_MACHINE_H
#define UMBRA_MACHINE_MACHINE_H

#include "boot/boot.h"
#include "dev/serial.h"
#include "kvm/kvm.h"
#include "machine/clock.h"
#include "state/host_info.h"
#include "state/machine_state.h"
#include "state/vcpu_view.h"

/* What the guest gets to see of CET. */
typedef enum CetPolicy {
	CET_POLICY_AUTO, /* what the host can do */
	CET_POLICY_ON,	 /* shadow stacks and IBT, or no start */
	CET_POLICY_OFF,	 /* neither, consistently (UAPI: all CPUID traces) */
} CetPolicy;

typedef struct MachineConfig {
	const char *kvm_path;
	uint64_t memory; /* bytes */
	unsigned cpus;	 /* 1 to LAYOUT_CPUS_MAX */
	CetPolicy cet;
	const HostInfo *cpu_like; /* the guest sees what that host has, too; NULL: all there is */
	const char *kernel;	  /* path */
	const char *initrd;	  /* path or NULL */
	const char *cmdline;	  /* "" for none */
} MachineConfig;

typedef enum MachineEndKind {
	MACHINE_END_POWER_OFF,
	MACHINE_END_RESET,	    /* the guest wrote the reset register */
	MACHINE_END_TRIPLE_FAULT,   /* KVM_EXIT_SHUTDOWN; some guests reboot that way */
	MACHINE_END_INTERNAL_ERROR, /* KVM_EXIT_INTERNAL_ERROR */
	MACHINE_END_FAIL_ENTRY,	    /* KVM_EXIT_FAIL_ENTRY */
	MACHINE_END_FAILED,	    /* KVM_RUN failed, or an exit umbra does not know */
	MACHINE_END_STOPPED,	    /* machine_stop() */
} MachineEndKind;

/* How and why the guest ended. Registers are those of the vCPU where it happened. */
typedef struct MachineEnd {
	MachineEndKind kind;
	unsigned vcpu;
	char why[160]; /* for people; "" where the kind says it all */
	bool has_registers;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
} MachineEnd;

/*
 * `ended` is called once, from the vCPU thread in which the guest ended (never
 * for machine_stop), perhaps with the bus lock held: wake the main loop and return.
 */
typedef struct MachineSink {
	void (*ended)(void *owner);
	SerialOutput console;
	void *owner;
} MachineSink;

typedef struct Machine Machine;

/*
 * Builds the whole machine and loads the kernel. Errors: UMBRA_ERROR_USAGE,
 * UMBRA_ERROR_INPUT (kernel, initrd), UMBRA_ERROR_UNSUPPORTED (this host lacks
 * something: KVM, a capability, CET), UMBRA_ERROR_FAILED.
 */
Machine *machine_create(const MachineConfig *config, const MachineSink *sink, GError **error);

/*
 * Builds a machine that `outline` can be loaded into: as much RAM, as many vCPUs, and
 * the CPUID that its guest has seen; no kernel. `memory` is taken in any case. Of
 * `config`, kvm_path and cet count. UMBRA_ERROR_INCOMPATIBLE: the wish of `cet` is
 * not what the guest has, or this host cannot have so many vCPUs or so much RAM.
 */
Machine *machine_create_like(const MachineState *outline, const MachineConfig *config,
			     GuestMemory *memory, const MachineSink *sink, GError **error);

/*
 * All that the machine is, but for its RAM. The machine is paused or held; its clocks
 * are read at one moment during the call. UMBRA_ERROR_UNSUPPORTED: there is
 * something that umbra cannot save; else UMBRA_ERROR_FAILED, also while RAM is still coming.
 */
MachineState *machine_save(Machine *machine, GError **error);

/*
 * Loads a state into what machine_create_like() made of it, before machine_start(): devices,
 * clock, vCPUs; then reads all of it back and compares. UMBRA_ERROR_INPUT: a
 * value that cannot be; UMBRA_ERROR_INCOMPATIBLE: one that KVM refuses here, or that it
 * took and lost, named with both values. After an error the machine is good for
 * machine_destroy() alone.
 */
bool machine_load(Machine *machine, const MachineState *state, MachineClock clock, GError **error);
/* How much of the last one of either the devices took, µs. */
uint64_t machine_devices_us(const Machine *machine);

/* Stops the guest if it still runs. Accepts NULL. */
void machine_destroy(Machine *machine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Machine, machine_destroy)

/* Starts the vCPU threads; with `paused` they wait for machine_resume(). */
bool machine_start(Machine *machine, bool paused, GError **error);

/*
 * The user's wish. After machine_pause() no vCPU runs, and the registers of each
 * are whole, until machine_resume(). False: the guest has ended, or, for resuming,
 * was given away. Not to be called with the bus lock held.
 */
bool machine_pause(Machine *machine);
bool machine_resume(Machine *machine);
bool machine_is_running(const Machine *machine); /* as the user wishes it */

/*
 * The same as pausing, for as long as a part of umbra needs it, whatever the user
 * wishes meanwhile. Holds nest, from any threads. False: the guest has ended, and
 * nothing is held.
 */
bool machine_hold(Machine *machine);
void machine_release(Machine *machine);

/* The guest goes on in another process: it will never run here again. */
void machine_give_away(Machine *machine);
bool machine_is_given_away(const Machine *machine);

/*
 * Where RAM is. While a post-copy migration brings it, whoever touches a page that is not
 * there yet waits for it; STUCK means that nobody can say how long.
 *
 * A vCPU that waits in the middle of an instruction which KVM emulates cannot be called
 * away (arch/x86/mm/fault.c looks for fatal signals alone): holding the guest then takes until
 * the page has come. When the guest ends, `let_go` frees all who wait: it may be called from any
 * thread, with the bus lock held, and only wakes them. NULL for RAM that is here.
 */
typedef enum MachineRam {
	MACHINE_RAM_HERE,
	MACHINE_RAM_COMING,
	MACHINE_RAM_STUCK,
} MachineRam;
void machine_set_ram(Machine *machine, MachineRam ram, void (*let_go)(void *owner), void *owner);
MachineRam machine_ram(const Machine *machine);
/* For what takes all of RAM along: an error that says why not now. */
bool machine_ram_must_be_here(const Machine *machine, GError **error);

/* A paused machine's vCPU, NULL if there is none of that number. */
KvmVcpu *machine_vcpu(Machine *machine, unsigned id);
/*
 * What there is to see of its CET state. UMBRA_ERROR_USAGE for a vCPU that does
 * not exist; UMBRA_ERROR_FAILED names the register that KVM refused to give.
 */
bool machine_view_vcpu(Machine *machine, unsigned id, VcpuView *ret_view, GError **error);
/*
 * Writes the registers that `state` has to a paused machine's vCPU, reads them
 * back, and after a failure puts back what they were. Judges nothing: see cet_check().
 */
bool machine_write_cet(Machine *machine, unsigned id, const CetState *state, GError **error);
unsigned machine_vcpu_count(const Machine *machine);
/* The kernel's id of the vCPU's thread, 0 before machine_start(). In one thread with it. */
pid_t machine_vcpu_thread_id(Machine *machine, unsigned id);
const GuestMemory *machine_memory(const Machine *machine);

/* Ends the guest from outside; returns when no vCPU runs any more. */
void machine_stop(Machine *machine);

bool machine_has_ended(const Machine *machine);

/* Waits for all vCPU threads after the guest ended, and says how it did. */
const MachineEnd *machine_wait(Machine *machine);

/* The serial console, for input; take the lock of the bus around calls. */
Serial *machine_console(Machine *machine);
IoBus *machine_bus(Machine *machine);

/* Presses the guest's power button. Takes the bus lock. */
void machine_press_power_button(Machine *machine);

/* How the kernel was loaded and entered, for people. */
const char *machine_boot_path(const Machine *machine);

#endif
