// SPDX-License-Identifier: MIT
#include "fake_machine.h"

#include "base/error.h"

bool machine_pause(Machine *machine)
{
	machine->running = false;
	return !machine->ended;
}

bool machine_resume(Machine *machine)
{
	machine->running = !machine->ended;
	return machine->running;
}

bool machine_hold(Machine *machine)
{
	machine->held = true;
	return !machine->ended;
}

void machine_release(Machine *machine)
{
	g_assert_true(machine->held);
	machine->held = false;
}

bool machine_is_given_away(const Machine *machine)
{
	return machine->given_away;
}

bool machine_is_running(const Machine *machine)
{
	return machine->running;
}

unsigned machine_vcpu_count(const Machine *machine)
{
	return machine->cpus;
}

pid_t machine_vcpu_thread_id(Machine *machine, unsigned id)
{
	return id < machine->cpus ? 1000 + (pid_t)id : 0;
}

const GuestMemory *machine_memory(const Machine *machine)
{
	return &machine->memory;
}

void machine_press_power_button(Machine *machine)
{
	machine->presses++;
}

bool machine_view_vcpu(Machine *machine, unsigned id, VcpuView *ret_view, GError **error)
{
	g_assert_true(machine->held || !machine->running);
	if (id >= machine->cpus)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "there is no vCPU %u", id);
	machine->n_views++;
	*ret_view = machine->views[id];
	return true;
}

bool machine_write_cet(Machine *machine, unsigned id, const CetState *state, GError **error)
{
	g_assert_true(machine->held || !machine->running);
	machine->n_writes++;
	if (machine->write_fails)
		return umbra_fail(error, UMBRA_ERROR_FAILED, "vcpu %u: KVM refuses", id);
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (state->has & 1u << i)
			machine->views[id].cet.value[i] = state->value[i];
	return true;
}

MachineState *machine_save(Machine *machine, GError **error)
{
	g_assert_true(machine->held || !machine->running);
	if (!machine->save)
		umbra_fail(error, UMBRA_ERROR_FAILED, "vcpu 0: KVM refuses");
	return machine->save ? machine->save() : NULL;
}

uint64_t machine_devices_us(const Machine *machine)
{
	(void)machine;
	return 0;
}

MachineRam machine_ram(const Machine *machine)
{
	(void)machine;
	return MACHINE_RAM_HERE;
}

bool machine_ram_must_be_here(const Machine *machine, GError **error)
{
	(void)machine, (void)error;
	return true;
}
