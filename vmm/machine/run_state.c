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
 */
#include "machine/internal.h"

void run_state_init(Machine *machine)
{
	pthread_mutex_init(&machine->run_lock, NULL);
	pthread_cond_init(&machine->run_changed, NULL);
}

void run_state_finish(Machine *machine)
{
	pthread_cond_destroy(&machine->run_changed);
	pthread_mutex_destroy(&machine->run_lock);
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

static void park(Vcpu *vcpu)
{
	Machine *machine = vcpu->machine;

	set_immediate_exit(vcpu, 1);
	(void)kvm_vcpu_run(&vcpu->kvm, NULL);
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

/* With run_lock held. After this every vCPU is on its way to look at the state. */
static void change(Machine *machine, RunState to)
{
	atomic_store(&machine->run_state, to);
	pthread_cond_broadcast(&machine->run_changed);
	if (to == RUN_STATE_RUNNING)
		return;
	for (unsigned i = 0; i < machine->n_vcpus; i++) {
		set_immediate_exit(&machine->vcpus[i], 1);
		vcpu_interrupt(&machine->vcpus[i]);
	}
}

bool machine_pause(Machine *machine)
{
	pthread_mutex_lock(&machine->run_lock);
	bool alive = machine->run_state != RUN_STATE_STOPPING;

	if (machine->run_state == RUN_STATE_RUNNING)
		change(machine, RUN_STATE_PAUSED);
	while (machine->run_state == RUN_STATE_PAUSED && machine->n_running > 0)
		pthread_cond_wait(&machine->run_changed, &machine->run_lock);
	alive = alive && machine->run_state == RUN_STATE_PAUSED;
	pthread_mutex_unlock(&machine->run_lock);
	return alive;
}

bool machine_resume(Machine *machine)
{
	pthread_mutex_lock(&machine->run_lock);
	bool alive = machine->run_state != RUN_STATE_STOPPING;

	if (machine->run_state == RUN_STATE_PAUSED)
		change(machine, RUN_STATE_RUNNING);
	pthread_mutex_unlock(&machine->run_lock);
	return alive;
}

bool machine_is_running(const Machine *machine)
{
	return atomic_load(&machine->run_state) == RUN_STATE_RUNNING;
}

static bool stop(Machine *machine, const MachineEnd *end)
{
	pthread_mutex_lock(&machine->run_lock);
	bool first = !machine->has_end;

	if (first) {
		machine->end = *end;
		machine->has_end = true;
		change(machine, RUN_STATE_STOPPING);
	}
	pthread_mutex_unlock(&machine->run_lock);
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
