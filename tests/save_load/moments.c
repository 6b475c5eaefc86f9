// SPDX-License-Identifier: MIT
/*
 * Stores the guest cet_moments at random moments in snapshot files, and goes on with it in a new
 * process each time: `umbra pause`, `umbra snapshot`, the end of the process, `umbra
 * restore`. What the guest said in all of them appears on stdout as one; stderr tells in how
 * many of the moments at least one vCPU was doing what.
 *
 *	moments [--times N] [--all-kinds] [--every MICROSECONDS] [--seed N] [--cpus N]
 *		[--cmdline TEXT] [--leave-out REGISTER] GUEST
 *
 * The last process gives its guest a byte of input, which asks it to end.
 * --all-kinds: not before there was a moment of each kind (but the rarest), or FEW times as many.
 * --leave-out: the files lose a CET register, for tests that must then fail.
 * Exit status: 0 the last process ended with 0; 1 not; 2 trouble on the way there.
 */
#include "../guests/cet_moments.h"
#include "leave_out.h"
#include "snapshot/snapshot.h"
#include "snapshot/state_tree.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAPIC_IN_SERVICE 0x100
#define LAPIC_REQUESTED	 0x200
#define FEW		 5
#define WAIT_FOR_ENDBR	 (1U << 11) /* of U_CET: IBT's tracker */

typedef struct Options {
	int times, every, seed, cpus;
	gboolean all_kinds;
	char *cmdline, *leave_out;
} Options;

enum {
	RING3,
	RING0,
	ASLEEP,
	PENDING,
	SIGNAL,
	INTERRUPT,
	SWITCHING,
	TRACKING,
	KINDS,
};

static const char *const kind_names[KINDS] = {
	[RING3] = "in ring 3",
	[RING0] = "in ring 0",
	[ASLEEP] = "halted",
	[PENDING] = "with an interrupt pending",
	[SIGNAL] = "in a handler of ring 3",
	[INTERRUPT] = "in an interrupt's handler",
	[SWITCHING] = "in a context switch",
	[TRACKING] = "with ring 3 between an indirect call and its ENDBR64",
};

/* A guest's life: one process after the other, each with a socket and outputs of its own. */
typedef struct Life {
	const Options *options;
	const char *folder;
	GPid pid;
	unsigned number; /* of the process, from 0 */
	char *socket, *output, *errors;
	unsigned counts[KINDS];
	bool asks_to_end;
} Life;

static G_NORETURN G_GNUC_PRINTF(1, 2) void die(const char *format, ...)
{
	va_list values;

	fputs("moments: ", stderr);
	va_start(values, format);
	vfprintf(stderr, format, values);
	va_end(values);
	fputc('\n', stderr);
	exit(2);
}

static char *path(const Life *life, const char *what)
{
	return g_strdup_printf("%s/%u.%s", life->folder, life->number, what);
}

static void print_file(const char *file, FILE *to)
{
	g_autofree char *text = NULL;

	if (g_file_get_contents(file, &text, NULL, NULL))
		fputs(text, to);
}

static int open_output(const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		die("%s: cannot be written", file);
	return fd;
}

/* Of how many moments it will be the last depends on what they were. */
static bool is_last(const Life *life)
{
	const Options *options = life->options;
	unsigned times = (unsigned)options->times;
	bool all = true;

	for (unsigned i = 0; i < TRACKING; i++)
		all &= life->counts[i] > 0;
	return life->number >= times && (!options->all_kinds || all || life->number >= FEW * times);
}

/* What a process has to give to its guest: nothing, or the byte that asks it to end. */
static int open_input(Life *life)
{
	int ends[2];

	life->asks_to_end = is_last(life);
	if (!life->asks_to_end)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0 || write(ends[1], "q", 1) != 1)
		die("no input for the guest");
	close(ends[1]);
	return ends[0];
}

static void spawn(Life *life, const char *const *argv)
{
	int out = open_output(life->output), errors = open_output(life->errors);
	int in = open_input(life);
	g_autoptr(GError) error = NULL;

	if (!g_spawn_async_with_fds(NULL, (char **)argv, NULL,
				    G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
				    &life->pid, in, out, errors, &error))
		die("%s: %s", argv[0], error->message);
	if (in >= 0)
		close(in);
	close(out);
	close(errors);
}

static bool has_ended(const Life *life)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)life->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	       info.si_pid;
}

/* True: umbra answers there; false: it has ended before. */
static bool await_socket(const Life *life)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	g_strlcpy(address.sun_path, life->socket, sizeof(address.sun_path));
	for (;;) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool there = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

		close(fd);
		if (there)
			return true;
		if (has_ended(life))
			return false;
		usleep(500);
	}
}

/*
 * Has a vCPU had the processor? All threads but the main one are vCPUs at that time;
 * schedstat begins with how long each has run (Documentation/scheduler/sched-stats.rst).
 */
static bool guest_has_run(const Life *life)
{
	g_autofree char *tasks = g_strdup_printf("/proc/%d/task", (int)life->pid);
	g_autoptr(GDir) folder = g_dir_open(tasks, 0, NULL);
	const char *name;

	while (folder && (name = g_dir_read_name(folder))) {
		g_autofree char *file = g_build_filename(tasks, name, "schedstat", NULL);
		g_autofree char *ran = NULL;

		if (atoi(name) != life->pid && g_file_get_contents(file, &ran, NULL, NULL) &&
		    g_ascii_strtoull(ran, NULL, 10) > 0)
			return true;
	}
	return false;
}

/* It answers long before its guest goes on. False: it has ended before. */
static bool await_guest(const Life *life)
{
	if (!await_socket(life))
		return false;
	while (!guest_has_run(life)) {
		if (has_ended(life))
			return false;
		usleep(200);
	}
	return true;
}

/* The process's exit status, as a shell has it. */
static int reap(Life *life)
{
	int status;

	if (waitpid(life->pid, &status, 0) != life->pid)
		die("waitpid failed");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/*
 * Before the vCPUs where that is permitted, and so are all who take part in the pause: the
 * moments shall be those of the clock, and on a single CPU they would else be those at
 * which a vCPU's time slice ends. The main thread alone of a process.
 */
static void set_urgent(pid_t pid, int flags)
{
	struct sched_param priority = {.sched_priority = 1};

	(void)sched_setscheduler(pid, SCHED_FIFO | flags, &priority);
}

static void set_child_urgent(void *nobody)
{
	(void)nobody;
	set_urgent(0, 0);
}

static void command(const Life *life, const char *const *argv)
{
	g_autofree char *said = NULL;
	g_autofree char *complaint = NULL;
	int status = 0;

	if (g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, set_child_urgent, NULL,
			 &said, &complaint, &status, NULL) &&
	    g_spawn_check_wait_status(status, NULL))
		return;
	print_file(life->output, stdout);
	print_file(life->errors, stderr);
	die("moment %u: umbra %s: %s", life->number + 1, argv[1], complaint);
}

static bool any_bit(const struct kvm_lapic_state *lapic, unsigned where)
{
	for (unsigned i = 0; i < 8; i++) {
		uint32_t word;

		memcpy(&word, lapic->regs + where + i * 16, sizeof(word));
		if (word)
			return true;
	}
	return false;
}

/* RAM below 3 GiB is in the file as it is in the guest. */
static bool is_switching(const Snapshot *snapshot, uint64_t area)
{
	uint64_t word = 0;
	uint64_t offset = 0;
	int fd = snapshot_ram_file(snapshot, &offset);

	if (pread(fd, &word, sizeof(word), (off_t)(offset + area + MOMENTS_SWITCHING)) < 0)
		die("a snapshot's RAM cannot be read");
	return word;
}

static void note(bool kinds[KINDS], const Snapshot *snapshot, unsigned number)
{
	const VcpuState *vcpu = snapshot_state(snapshot)->vcpus->pdata[number];
	uint64_t area = MOMENTS_AREAS + number * MOMENTS_AREA;
	uint64_t signal_stack = area + MOMENTS_SIGNAL_STACK;
	bool user = vcpu->sregs.ss.dpl == 3;

	kinds[user ? RING3 : RING0] = true;
	if (vcpu->mp_state.mp_state == KVM_MP_STATE_HALTED)
		kinds[ASLEEP] = true;
	if (any_bit(&vcpu->lapic, LAPIC_REQUESTED) || vcpu->events.interrupt.injected)
		kinds[PENDING] = true;
	if (user && vcpu->regs.rsp - signal_stack < MOMENTS_STACK)
		kinds[SIGNAL] = true;
	if (!user && any_bit(&vcpu->lapic, LAPIC_IN_SERVICE))
		kinds[INTERRUPT] = true;
	if (is_switching(snapshot, area))
		kinds[SWITCHING] = true;
	if (vcpu->cet.value[CET_U_CET] & WAIT_FOR_ENDBR)
		kinds[TRACKING] = true;
}

/* The same snapshot without the register. */
static void spoil(const Snapshot *snapshot, const char *file, const char *name)
{
	g_autoptr(GBytes) tree = state_tree_write(snapshot_state(snapshot), NULL);
	g_autoptr(MachineState) state =
		state_tree_read(g_bytes_get_data(tree, NULL), g_bytes_get_size(tree), NULL);
	SnapshotRamFile ram_file = {0};
	g_autoptr(GError) error = NULL;

	leave_out(state, name);
	ram_file.fd = snapshot_ram_file(snapshot, &ram_file.offset);
	void *bytes = mmap(NULL, state->memory, PROT_READ, MAP_PRIVATE, ram_file.fd,
			   (off_t)ram_file.offset);
	SnapshotRam ram = {.bytes = bytes, .size = state->memory, .file = &ram_file};

	if (bytes == MAP_FAILED || !snapshot_save(file, state, &ram, NULL, NULL, NULL, &error))
		die("%s: %s", file, error ? error->message : "cannot be mapped");
	munmap(bytes, state->memory);
}

static void look(Life *life, const char *file)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = snapshot_open(file, &error);
	bool kinds[KINDS] = {false};

	if (!snapshot)
		die("moment %u: %s", life->number + 1, error->message);
	for (unsigned i = 0; i < snapshot_state(snapshot)->vcpus->len; i++)
		note(kinds, snapshot, i);
	for (unsigned i = 0; i < KINDS; i++)
		life->counts[i] += kinds[i];
	if (life->options->leave_out)
		spoil(snapshot, file, life->options->leave_out);
}

/* What the process was is in the file then, and the process is gone. */
static char *store(Life *life)
{
	char *file = path(life, "snap");
	const char *const pause[] = {"umbra", "pause", life->socket, NULL};
	const char *const snapshot[] = {"umbra", "snapshot", life->socket, file, NULL};

	command(life, pause);
	command(life, snapshot);
	/* Not SIGKILL: the beginning of a line, which umbra holds back for a moment, would be lost.
	 */
	kill(life->pid, SIGTERM);
	(void)reap(life);
	look(life, file);
	print_file(life->output, stdout);
	return file;
}

static void name_files(Life *life)
{
	g_free(life->socket);
	g_free(life->output);
	g_free(life->errors);
	life->socket = path(life, "qmp");
	life->output = path(life, "out");
	life->errors = path(life, "err");
}

static void begin(Life *life, const char *guest)
{
	const Options *options = life->options;
	g_autofree char *cpus = g_strdup_printf("%d", options->cpus);

	name_files(life);
	const char *const run[] = {"umbra",    "run",	     "--kernel",  guest,
				   "--memory", "64M",	     "--cet",	  "on",
				   "--cpus",   cpus,	     "--cmdline", options->cmdline,
				   "--qmp",    life->socket, NULL};

	spawn(life, run);
}

static void move(Life *life)
{
	g_autofree char *file = store(life);

	life->number++;
	name_files(life);
	const char *const restore[] = {"umbra", "restore", file, "--qmp", life->socket, NULL};

	spawn(life, restore);
	/* What the process has of it stays. */
	(void)await_socket(life);
	unlink(file);
}

static Options parse(int *argc, char ***argv)
{
	Options o = {.times = 20, .every = 4000, .cpus = 2};
	const GOptionEntry entries[] = {
		{"times", 0, 0, G_OPTION_ARG_INT, &o.times, NULL, NULL},
		{"every", 0, 0, G_OPTION_ARG_INT, &o.every, NULL, NULL},
		{"seed", 0, 0, G_OPTION_ARG_INT, &o.seed, NULL, NULL},
		{"cpus", 0, 0, G_OPTION_ARG_INT, &o.cpus, NULL, NULL},
		{"cmdline", 0, 0, G_OPTION_ARG_STRING, &o.cmdline, NULL, NULL},
		{"all-kinds", 0, 0, G_OPTION_ARG_NONE, &o.all_kinds, NULL, NULL},
		{"leave-out", 0, 0, G_OPTION_ARG_STRING, &o.leave_out, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new("GUEST");
	GError *error = NULL;

	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, argc, argv, &error))
		die("%s", error->message);
	if (*argc != 2)
		die("one guest, please");
	if (!o.cmdline)
		o.cmdline = g_strdup("");
	return o;
}

int main(int argc, char **argv)
{
	Options options = parse(&argc, &argv);
	g_autoptr(GRand) random = g_rand_new_with_seed((guint32)options.seed);
	Life life = {.options = &options, .folder = g_dir_make_tmp("moments.XXXXXX", NULL)};
	int status;

	if (!life.folder)
		die("no folder for its files");
	set_urgent(0, SCHED_RESET_ON_FORK);
	begin(&life, argv[1]);
	while (!life.asks_to_end && await_guest(&life)) {
		set_urgent(life.pid, SCHED_RESET_ON_FORK);
		g_usleep((gulong)g_rand_int_range(random, 0, options.every));
		move(&life);
	}
	status = reap(&life);
	print_file(life.output, stdout);
	print_file(life.errors, stderr);
	fprintf(stderr, "moments: seed %d, %u in all", options.seed, life.number);
	for (unsigned i = 0; i < KINDS; i++)
		fprintf(stderr, ", %u %s", life.counts[i], kind_names[i]);
	fprintf(stderr, "\nmoments: the last process ended with %d\n", status);
	return status != 0;
}
