// SPDX-License-Identifier: MIT
/*
 * When vCPUs run.
 *
 * Whoever wants to change that sets the state, then kicks every vCPU: sets
 * immediate_exit in its run page and signals its thread. A vCPU clears
 * immediate_exit first and looks at the state afterwards, so that of a change
 * that comes in between one of the two is always seen. It parks only after a
 * KVM_RUN with immediate_exit set: that completes an access which the last exit
 * left half done, so that the registers of a parked vCPU are whole
 * (Documentation/virt/kvm/api.rst, KVM_RUN).
 *
 * Two kinds of wishes are kept apart: the user's, who pauses and resumes, and
 * holds by parts of umbra that need the guest to stand still for a while. Holds
 * nest, come from any thread, and leave the user's wish as it is.
 */
#include "machine/internal.h"

#include "kvm/kvm_state.h"

void run_state_init(Machine *machine)
{
	machine->user_paused = true;
	pthread_mutex_init(&machine->run_lock, NULL);
	pthread_mutex_init(&machine->ram_lock, NULL);
	pthread_cond_init(&machine->run_changed, NULL);
}

void run_state_finish(Machine *machine)
{
	pthread_cond_destroy(&machine->run_changed);
	pthread_mutex_destroy(&machine->run_lock);
	pthread_mutex_destroy(&machine->ram_lock);
}

void run_state_thread_begins(Machine *machine)
{
	pthread_mutex_lock(&machine->run_lock);
	machine->n_running++;
	pthread_mutex_unlock(&machine->run_lock);
}

static void one_less(Machine *machine)
{
	if (--machine->n_running == 0)
		pthread_cond_broadcast(&machine->run_changed);
}

void run_state_thread_ends(Machine *machine)
{
	pthread_mutex_lock(&machine->run_lock);
	one_less(machine);
	pthread_mutex_unlock(&machine->run_lock);
}

static void set_immediate_exit(Vcpu *vcpu, uint8_t value)
{
	__atomic_store_n(&vcpu->kvm.run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

/*
 * An access can have several parts (MMIO wider than 8 bytes or across a page, a string of
 * reads from a port): then completing one comes out with the next, which must be served
 * like any other (complete_emulated_mmio() in arch/x86/kvm/x86.c).
 */
static void vcpu_complete(Vcpu *vcpu)
{
	do
		set_immediate_exit(vcpu, 1);
	while (vcpu_run_once(vcpu) && !vcpu->machine->has_end);
}

static void park(Vcpu *vcpu)
{
	Machine *machine = vcpu->machine;

	vcpu_complete(vcpu);
	pthread_mutex_lock(&machine->run_lock);
	one_less(machine);
	while (machine->run_state == RUN_STATE_PAUSED)
		pthread_cond_wait(&machine->run_changed, &machine->run_lock);
	machine->n_running++;
	pthread_mutex_unlock(&machine->run_lock);
}

bool run_state_may_enter(Vcpu *vcpu)
{
	for (;;) {
		set_immediate_exit(vcpu, 0);
		switch (atomic_load(&vcpu->machine->run_state)) {
		case RUN_STATE_RUNNING:
			return true;
		case RUN_STATE_STOPPING:
			return false;
		case RUN_STATE_PAUSED:
			park(vcpu);
		}
	}
}

/*
 * A guest with kvmclock is told that it stood still, or its watchdogs would report tasks
 * that hang. Only while every vCPU is parked: KVM would wait for one that runs.
 */
static void tell_paused(Machine *machine)
{
	for (unsigned i = 0; machine->n_running == 0 && i < machine->n_vcpus; i++)
		(void)kvm_vcpu_tell_paused(&machine->vcpus[i].kvm);
}

/*
 * With run_lock held: derives the run state from who wants what. When it leaves
 * RUNNING, every vCPU is on its way to look at it.
 */
static void settle(Machine *machine)
{
	RunState to = machine->has_end				   ? RUN_STATE_STOPPING
		      : machine->user_paused || machine->holds > 0 ? RUN_STATE_PAUSED
								   : RUN_STATE_RUNNING;

	if (to == atomic_load(&machine->run_state))
		return;
	if (to == RUN_STATE_RUNNING)
		tell_paused(machine);
	atomic_store(&machine->run_state, to);
	pthread_cond_broadcast(&machine->run_changed);
	if (to == RUN_STATE_RUNNING)
		return;
	for (unsigned i = 0; i < machine->n_vcpus; i++) {
		set_immediate_exit(&machine->vcpus[i], 1);
		vcpu_interrupt(&machine->vcpus[i]);
	}
}

/* With run_lock held. False: the guest has ended. */
static bool wait_parked(Machine *machine)
{
	while (atomic_load(&machine->run_state) == RUN_STATE_PAUSED && machine->n_running > 0)
		pthread_cond_wait(&machine->run_changed, &machine->run_lock);
	return !machine->has_end;
}

bool machine_pause(Machine *machine)
{
	pthread_mutex_lock(&machine->run_lock);
	machine->user_paused = true;
	settle(machine);
	bool alive = wait_parked(machine);

	pthread_mutex_unlock(&machine->run_lock);
	return alive;
}

bool machine_resume(Machine *machine)
{
	/* Output that was held back when the state was saved has a new way out now. */
	if (!machine->given_away) {
		io_bus_lock(machine->bus);
		serial_output_ready(machine->serial);
		io_bus_unlock(machine->bus);
	}
	pthread_mutex_lock(&machine->run_lock);
	bool may = !machine->has_end && !machine->given_away;

	if (may) {
		machine->user_paused = false;
		settle(machine);
	}
	pthread_mutex_unlock(&machine->run_lock);
	return may;
}

bool machine_hold(Machine *machine)
{
	pthread_mutex_lock(&machine->run_lock);
	machine->holds++;
	settle(machine);
	bool alive = wait_parked(machine);

	if (!alive)
		machine->holds--;
	pthread_mutex_unlock(&machine->run_lock);
	return alive;
}

void machine_release(Machine *machine)
{
	pthread_mutex_lock(&machine->run_lock);
	g_assert(machine->holds > 0);
	machine->holds--;
	settle(machine);
	pthread_mutex_unlock(&machine->run_lock);
}

void machine_give_away(Machine *machine)
{
	pthread_mutex_lock(&machine->run_lock);
	machine->given_away = true;
	machine->user_paused = true;
	settle(machine);
	pthread_mutex_unlock(&machine->run_lock);
}

bool machine_is_given_away(const Machine *machine)
{
	return machine->given_away;
}

bool machine_is_running(const Machine *machine)
{
	return !machine->user_paused && !machine->has_end;
}

bool machine_has_ended(const Machine *machine)
{
	return machine->has_end;
}

static bool stop(Machine *machine, const MachineEnd *end)
{
	pthread_mutex_lock(&machine->run_lock);
	bool first = !machine->has_end;

	if (first) {
		machine->end = *end;
		machine->has_end = true;
		settle(machine);
	}
	pthread_mutex_unlock(&machine->run_lock);
	/* Only now: a vCPU that is freed finds that it has to leave. */
	if (first)
		machine_let_go(machine);
	return first;
}

void machine_set_end(Machine *machine, const MachineEnd *end)
{
	if (stop(machine, end))
		machine->sink.ended(machine->sink.owner);
}

void machine_stop(Machine *machine)
{
	static const MachineEnd stopped = {.kind = MACHINE_END_STOPPED};

	(void)stop(machine, &stopped);
	(void)machine_wait(machine);
}
