// SPDX-License-Identifier: MIT
#include "fake_machine.h"

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
