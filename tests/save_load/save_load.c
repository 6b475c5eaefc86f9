// SPDX-License-Identifier: MIT
/*
 * Runs a guest and, again and again, saves it, loads it into a new machine and goes on with
 * that one; its RAM goes through a file that the new machine maps. The guest's output
 * appears on stdout as one. Exit status: 0 if the guest powered off.
 *
 *	save_load [--times N] [--every MICROSECONDS] [--seed N] [--cpus N] [--lines N]
 *		  [--leave-out REGISTER] [--ask] [--say] [--initrd FILE] [--cmdline TEXT] GUEST
 *
 * --lines N: the first save comes when the guest has said so many lines.
 * --ask: the last machine gives the guest a byte of input, which asks it to end.
 * --leave-out: loads a CET register as a fresh vCPU has it, for tests that must then fail.
 */
#include "leave_out.h"
#include "machine/machine.h"
#include "snapshot/state_tree.h"

#include "base/error.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

typedef struct Options {
	int times, every, seed, cpus, lines;
	char *leave_out, *initrd, *cmdline;
	gboolean say, ask;
} Options;

/* What the guest said, over all machines that it lived in; and whether it has ended. */
typedef struct Listener {
	GMutex lock;
	GCond changed;
	GString *output;
	unsigned lines;
	bool ended;
} Listener;

static void on_ended(void *owner)
{
	Listener *listener = owner;

	g_mutex_lock(&listener->lock);
	listener->ended = true;
	g_cond_broadcast(&listener->changed);
	g_mutex_unlock(&listener->lock);
}

/* Takes a few bytes at most, so that the transmitter has a history of being busy. */
static size_t on_output(void *owner, const uint8_t *data, size_t length)
{
	Listener *listener = owner;

	g_mutex_lock(&listener->lock);
	g_string_append_len(listener->output, (const char *)data, (gssize)length);
	for (size_t i = 0; i < length; i++)
		listener->lines += data[i] == '\n';
	g_cond_broadcast(&listener->changed);
	g_mutex_unlock(&listener->lock);
	return length;
}

static G_NORETURN void die(GError *error)
{
	fprintf(stderr, "save_load: %s\n", error->message);
	exit(error->code == UMBRA_ERROR_INCOMPATIBLE ? 3 : 2);
}

static GuestMemory *copy_memory(const GuestMemory *memory)
{
	GError *error = NULL;
	GuestMemory *copy;
	int fd = memfd_create("ram", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)memory->size + 4096) < 0)
		die(g_error_new(UMBRA_ERROR, UMBRA_ERROR_FAILED, "no file for the guest's RAM"));
	/* Not from the file's start, as in a snapshot; pages of zeros stay holes. */
	for (uint64_t at = 0; at < memory->size; at += 4096) {
		static const uint8_t zeros[4096];

		if (memcmp(memory->base + at, zeros, 4096) != 0 &&
		    pwrite(fd, memory->base + at, 4096, (off_t)at + 4096) != 4096)
			die(g_error_new(UMBRA_ERROR, UMBRA_ERROR_FAILED, "RAM cannot be written"));
	}
	copy = guest_memory_create_from_file(memory->size, fd, 4096, &error);
	close(fd);
	if (!copy)
		die(error);
	return copy;
}

/* The paused guest in a machine of its own, by way of the bytes of a state tree. */
static Machine *move(Machine *machine, const Options *options, const MachineSink *sink)
{
	MachineConfig config = {.kvm_path = KVM_DEFAULT_PATH};
	GError *error = NULL;
	uint64_t at[4] = {__rdtsc()};
	g_autoptr(MachineState) state = machine_save(machine, &error);

	at[1] = __rdtsc();
	g_autoptr(GBytes) tree = state ? state_tree_write(state, &error) : NULL;

	if (!tree)
		die(error);
	g_autoptr(MachineState) read =
		state_tree_read(g_bytes_get_data(tree, NULL), g_bytes_get_size(tree), &error);

	if (!read)
		die(error);
	leave_out(read, options->leave_out);
	if (options->say)
		fprintf(stderr, "saved at rip %#llx, cpl %u, mp-state %u\n",
			((VcpuState *)read->vcpus->pdata[0])->regs.rip,
			((VcpuState *)read->vcpus->pdata[0])->sregs.ss.dpl,
			((VcpuState *)read->vcpus->pdata[0])->mp_state.mp_state);
	GuestMemory *memory = copy_memory(machine_memory(machine));

	at[2] = __rdtsc();
	Machine *next = machine_create_like(read, &config, memory, sink, &error);

	at[3] = __rdtsc();
	if (!next || !machine_load(next, read, MACHINE_CLOCK_STANDS, &error))
		die(error);
	if (options->say)
		fprintf(stderr, "ticks: save %" PRIu64 ", create %" PRIu64 ", load %" PRIu64 "\n",
			at[1] - at[0], at[3] - at[2], (uint64_t)__rdtsc() - at[3]);
	if (!machine_start(next, false, &error))
		die(error);
	machine_destroy(machine);
	return next;
}

/* Waits until the guest has ended; false after `microseconds` without that. */
static bool wait_ended(Listener *listener, gint64 microseconds)
{
	gint64 until = g_get_monotonic_time() + microseconds;
	bool in_time = true;

	g_mutex_lock(&listener->lock);
	while (!listener->ended && in_time)
		in_time = g_cond_wait_until(&listener->changed, &listener->lock, until);
	g_mutex_unlock(&listener->lock);
	return in_time;
}

static void wait_lines(Listener *listener, unsigned lines)
{
	g_mutex_lock(&listener->lock);
	while (!listener->ended && listener->lines < lines)
		g_cond_wait(&listener->changed, &listener->lock);
	g_mutex_unlock(&listener->lock);
}

/*
 * Before the vCPUs where that is permitted: the moments shall be those of the clock, and on a
 * single CPU they would else be those at which a vCPU's time slice ends.
 */
static void set_urgent(void)
{
	struct sched_param priority = {.sched_priority = 1};

	(void)sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority);
}

static void ask_to_end(Machine *machine)
{
	io_bus_lock(machine_bus(machine));
	serial_receive(machine_console(machine), (const uint8_t *)"q", 1);
	io_bus_unlock(machine_bus(machine));
}

static Options parse(int *argc, char ***argv)
{
	Options o = {.times = 20, .every = 10000, .cpus = 1};
	const GOptionEntry entries[] = {
		{"times", 0, 0, G_OPTION_ARG_INT, &o.times, NULL, NULL},
		{"every", 0, 0, G_OPTION_ARG_INT, &o.every, NULL, NULL},
		{"seed", 0, 0, G_OPTION_ARG_INT, &o.seed, NULL, NULL},
		{"cpus", 0, 0, G_OPTION_ARG_INT, &o.cpus, NULL, NULL},
		{"lines", 0, 0, G_OPTION_ARG_INT, &o.lines, NULL, NULL},
		{"leave-out", 0, 0, G_OPTION_ARG_STRING, &o.leave_out, NULL, NULL},
		{"initrd", 0, 0, G_OPTION_ARG_FILENAME, &o.initrd, NULL, NULL},
		{"cmdline", 0, 0, G_OPTION_ARG_STRING, &o.cmdline, NULL, NULL},
		{"ask", 0, 0, G_OPTION_ARG_NONE, &o.ask, NULL, NULL},
		{"say", 0, 0, G_OPTION_ARG_NONE, &o.say, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new("GUEST");
	GError *error = NULL;

	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, argc, argv, &error))
		die(error);
	if (*argc != 2)
		die(g_error_new(UMBRA_ERROR, UMBRA_ERROR_USAGE, "one guest, please"));
	return o;
}

int main(int argc, char **argv)
{
	Options options = parse(&argc, &argv);
	Listener listener = {.output = g_string_new(NULL)};
	MachineSink sink = {on_ended, {on_output, &listener}, &listener};
	MachineConfig config = {.kvm_path = KVM_DEFAULT_PATH,
				.memory = options.initrd ? 256 << 20 : 64 << 20,
				.initrd = options.initrd,
				.cpus = (unsigned)options.cpus,
				.kernel = argv[1],
				.cmdline = options.cmdline ? options.cmdline : ""};
	g_autoptr(GRand) random = g_rand_new_with_seed((guint32)options.seed);
	GError *error = NULL;
	int done = 0;
	Machine *machine = machine_create(&config, &sink, &error);

	if (!machine || !machine_start(machine, false, &error))
		die(error);
	set_urgent();
	wait_lines(&listener, (unsigned)options.lines);
	while (done < options.times &&
	       !wait_ended(&listener, g_rand_int_range(random, 0, options.every)) &&
	       machine_pause(machine)) {
		machine = move(machine, &options, &sink);
		done++;
	}
	if (options.ask)
		ask_to_end(machine);
	while (!wait_ended(&listener, G_USEC_PER_SEC))
		continue;
	MachineEndKind kind = machine_wait(machine)->kind;

	fputs(listener.output->str, stdout);
	fprintf(stderr, "save_load: moved %d times, ended as %d\n", done, kind);
	if (kind != MACHINE_END_POWER_OFF)
		fprintf(stderr, "save_load: %s\n", machine_wait(machine)->why);
	machine_destroy(machine);
	return kind == MACHINE_END_POWER_OFF ? 0 : 1;
}
