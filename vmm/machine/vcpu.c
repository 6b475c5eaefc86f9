// SPDX-License-Identifier: MIT
/*
 * One thread per vCPU: enter the guest, see why it came out, do what it wants,
 * again. What an exit means is one row of the table below.
 */
#include "machine/internal.h"

#include "base/error.h"
#include "base/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define KICK_SIGNAL SIGUSR1

/* Interrupting KVM_RUN is all that it is for. */
static void on_kick(int signal_number)
{
	(void)signal_number;
}

bool vcpu_install_kick_signal(GError **error)
{
	struct sigaction action = {.sa_handler = on_kick};

	sigemptyset(&action.sa_mask);
	if (sigaction(KICK_SIGNAL, &action, NULL) < 0)
		return umbra_fail_errno(error, errno,
					"cannot install the handler that stops vCPUs");
	return true;
}

void vcpu_interrupt(Vcpu *vcpu)
{
	if (vcpu->has_thread && !pthread_equal(vcpu->thread, pthread_self()))
		pthread_kill(vcpu->thread, KICK_SIGNAL);
}

/* Ends the guest with what this vCPU looks like. */
static void G_GNUC_PRINTF(3, 4) end_with(Vcpu *vcpu, MachineEndKind kind, const char *format, ...)
{
	MachineEnd end = {.kind = kind, .vcpu = vcpu->kvm.id};
	va_list args;

	va_start(args, format);
	g_vsnprintf(end.why, sizeof(end.why), format, args);
	va_end(args);
	end.has_registers = kvm_vcpu_get_regs(&vcpu->kvm, &end.regs, NULL) &&
			    kvm_vcpu_get_sregs(&vcpu->kvm, &end.sregs, NULL);
	machine_set_end(vcpu->machine, &end);
}

static void on_io(Vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
		io_bus_access(vcpu->machine->bus, IO_SPACE_PORT, run->io.port,
			      run->io.direction == KVM_EXIT_IO_OUT, data, run->io.size);
}

static void on_mmio(Vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;

	io_bus_access(vcpu->machine->bus, IO_SPACE_MMIO, run->mmio.phys_addr, run->mmio.is_write,
		      run->mmio.data, run->mmio.len);
}

static void on_ioapic_eoi(Vcpu *vcpu)
{
	Machine *machine = vcpu->machine;

	io_bus_lock(machine->bus);
	ioapic_end_of_interrupt(machine->ioapic, vcpu->kvm.run->eoi.vector);
	io_bus_unlock(machine->bus);
}

static void on_shutdown(Vcpu *vcpu)
{
	end_with(vcpu, MACHINE_END_TRIPLE_FAULT, "KVM_EXIT_SHUTDOWN");
}

/* Linux, include/uapi/linux/kvm.h: KVM_INTERNAL_ERROR_*. */
static const char *internal_error_text(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "an instruction that KVM would have to emulate and cannot";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "exceptions while delivering an exception";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "an exit while delivering an event";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "an exit of the CPU that KVM does not know";
	default:
		return "unknown";
	}
}

static void on_internal_error(Vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->kvm.run;
	char bytes[3 * 15 + 1] = "";

	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata >= 1 &&
	    (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		unsigned n = MIN(run->emulation_failure.insn_size, 15);

		for (unsigned i = 0; i < n; i++)
			g_snprintf(bytes + 3 * i, 4, " %02x", run->emulation_failure.insn_bytes[i]);
	}
	end_with(vcpu, MACHINE_END_INTERNAL_ERROR, "suberror %u, %s%s%s", run->internal.suberror,
		 internal_error_text(run->internal.suberror), bytes[0] ? ":" : "", bytes);
}

static void on_fail_entry(Vcpu *vcpu)
{
	uint64_t reason = vcpu->kvm.run->fail_entry.hardware_entry_failure_reason;

	end_with(vcpu, MACHINE_END_FAIL_ENTRY,
		 "the CPU refuses to enter the guest, hardware reason %#lx", reason);
}

static void on_system_event(Vcpu *vcpu)
{
	uint32_t type = vcpu->kvm.run->system_event.type;
	MachineEnd end = {.vcpu = vcpu->kvm.id};

	if (type == KVM_SYSTEM_EVENT_SHUTDOWN)
		end.kind = MACHINE_END_POWER_OFF;
	else if (type == KVM_SYSTEM_EVENT_RESET)
		end.kind = MACHINE_END_RESET;
	else {
		end_with(vcpu, MACHINE_END_FAILED, "system event %u, which umbra does not know",
			 type);
		return;
	}
	machine_set_end(vcpu->machine, &end);
}

/* An interrupt window or a signal: nothing to do but enter again. */
static void on_nothing(Vcpu *vcpu)
{
	(void)vcpu;
}

static void (*const exits[])(Vcpu *vcpu) = {
	[KVM_EXIT_IO] = on_io,
	[KVM_EXIT_MMIO] = on_mmio,
	[KVM_EXIT_INTR] = on_nothing,
	[KVM_EXIT_IRQ_WINDOW_OPEN] = on_nothing,
	[KVM_EXIT_IOAPIC_EOI] = on_ioapic_eoi,
	[KVM_EXIT_SHUTDOWN] = on_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = on_fail_entry,
	[KVM_EXIT_INTERNAL_ERROR] = on_internal_error,
	[KVM_EXIT_SYSTEM_EVENT] = on_system_event,
};

static void dispatch(Vcpu *vcpu)
{
	uint32_t reason = vcpu->kvm.run->exit_reason;

	if (reason < G_N_ELEMENTS(exits) && exits[reason])
		exits[reason](vcpu);
	else
		end_with(vcpu, MACHINE_END_FAILED, "KVM exit reason %u, which umbra does not know",
			 reason);
}

bool vcpu_run_once(Vcpu *vcpu)
{
	g_autoptr(GError) error = NULL;

	switch (kvm_vcpu_run(&vcpu->kvm, &error)) {
	case KVM_RUN_EXIT:
		dispatch(vcpu);
		return true;
	case KVM_RUN_INTERRUPTED:
		break;
	case KVM_RUN_FAILED:
		end_with(vcpu, MACHINE_END_FAILED, "%s", error->message);
		break;
	}
	return false;
}

static void tell_thread_id(Vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->machine->run_lock);
	vcpu->thread_id = gettid();
	pthread_cond_broadcast(&vcpu->machine->run_changed);
	pthread_mutex_unlock(&vcpu->machine->run_lock);
}

static void *vcpu_main(void *argument)
{
	Vcpu *vcpu = argument;

	tell_thread_id(vcpu);
	while (run_state_may_enter(vcpu))
		vcpu_run_once(vcpu);
	run_state_thread_ends(vcpu->machine);
	return NULL;
}

bool vcpu_start(Vcpu *vcpu, GError **error)
{
	sigset_t all, old;

	/* Signals of the process belong to the main thread; only the kick is for this one. */
	signals_for_thread(&all);
	sigdelset(&all, KICK_SIGNAL);
	run_state_thread_begins(vcpu->machine);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int failed = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);

	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (failed) {
		run_state_thread_ends(vcpu->machine);
		return umbra_fail_errno(error, failed, "vcpu %u: cannot start its thread",
					vcpu->kvm.id);
	}
	vcpu->has_thread = true;
	return true;
}

pid_t vcpu_thread_id(Vcpu *vcpu)
{
	if (!vcpu->has_thread)
		return 0;
	pthread_mutex_lock(&vcpu->machine->run_lock);
	while (!vcpu->thread_id)
		pthread_cond_wait(&vcpu->machine->run_changed, &vcpu->machine->run_lock);
	pthread_mutex_unlock(&vcpu->machine->run_lock);
	return vcpu->thread_id;
}

void vcpu_join(Vcpu *vcpu)
{
	if (vcpu->has_thread)
		pthread_join(vcpu->thread, NULL);
	vcpu->has_thread = false;
}
