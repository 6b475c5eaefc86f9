// SPDX-License-Identifier: MIT
/*
 * Proves that user shadow stacks work on the machine it runs on, one line per
 * proof. Exit status: 0 all proven, 1 something is wrong, 2 usage, 3 there are
 * no shadow stacks here.
 *
 * main() turns the shadow stack on and never returns; everything else is called
 * from there, so that each return has its entry.
 */
#include "shstk.h"
#include "shstk_tasks.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_PROVEN, EXIT_WRONG, EXIT_USAGE, EXIT_NO_SHSTK };

/* How a child that overwrote its return address ended. */
#define CHILD_LANDED  90 /* the return went where the overwritten address says */
#define CHILD_REPORTS 91 /* its SIGSEGV handler ran; si_code came through the pipe */

typedef struct Options {
	bool report_only;
	TaskPlan plan;
} Options;

__attribute__((noreturn)) static void fail(const char *what)
{
	printf("shstk_proof: WRONG: %s\n", what);
	exit(EXIT_WRONG);
}

/* Reads a whole small file of /proc; "" if it cannot be read. */
static void read_text(const char *path, char *ret_text, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t length = file ? fread(ret_text, 1, size - 1, file) : 0;

	ret_text[length] = '\0';
	if (file)
		fclose(file);
}

/* Is `word` one of the blank-separated words on the first line that starts with `key`? */
static bool line_has_word(const char *text, const char *key, const char *word)
{
	const char *line = strstr(text, key);
	size_t length = strlen(word);

	if (!line)
		return false;
	const char *end = line + strcspn(line, "\n");
	for (const char *at = line; (at = strstr(at, word)) && at < end; at += length)
		if (strchr(" \t:", at[-1]) && strchr(" \n", at[length]))
			return true;
	return false;
}

/* What the kernel says of the CPU and of itself; nothing here decides the exit status. */
static void report_kernel(void)
{
	static char text[256 * 1024];

	read_text("/proc/cpuinfo", text, sizeof(text));
	printf("cpuinfo: user_shstk %s\n",
	       line_has_word(text, "flags", "user_shstk") ? "yes" : "no");
	printf("cpuinfo: ibt %s\n", line_has_word(text, "flags", "ibt") ? "yes" : "no");

	int length = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, text, sizeof(text) - 1);
	text[length > 0 ? length : 0] = '\0';
	bool ibt = strstr(text, "CET detected: Indirect Branch Tracking enabled");
	printf("kernel ibt: %s\n", length < 0 ? "kernel log not readable"
				   : ibt      ? "enabled (kernel log)"
					      : "no word of it in the kernel log");
}

__attribute__((noreturn, used)) static void landing(void)
{
	_exit(CHILD_LANDED);
}

/* Returns to landing() instead of its caller, unless something stops it. */
__attribute__((noinline)) static void return_elsewhere(void)
{
	void *volatile *frame = __builtin_frame_address(0);

	frame[1] = (void *)landing;
}

/* A store to the shadow stack by an ordinary instruction. */
__attribute__((noinline)) static void store_to_shadow_stack(void)
{
	volatile uint64_t *entry = (volatile uint64_t *)shstk_pointer();

	*entry = (uint64_t)landing;
	_exit(CHILD_LANDED);
}

static int report_pipe[2];

static void on_segv(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	int code = info->si_code;
	_exit(write(report_pipe[1], &code, sizeof(code)) == sizeof(code) ? CHILD_REPORTS : 1);
}

/* In a child: does `crime`, with or without a handler that reports si_code. Returns its wait
 * status. */
static int child_commits(void (*crime)(void), bool handled, int *ret_si_code)
{
	int status = 0;

	*ret_si_code = 0;
	if (pipe(report_pipe) != 0)
		fail("pipe");
	fflush(stdout);
	pid_t child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0) {
		static char signal_stack[64 * 1024];
		stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
		struct sigaction action = {.sa_sigaction = on_segv,
					   .sa_flags = SA_SIGINFO | SA_ONSTACK};
		if (handled && (sigaltstack(&stack, NULL) || sigaction(SIGSEGV, &action, NULL)))
			_exit(1);
		crime();
		_exit(0);
	}
	close(report_pipe[1]);
	if (read(report_pipe[0], ret_si_code, sizeof(*ret_si_code)) < 0)
		fail("pipe");
	close(report_pipe[0]);
	if (waitpid(child, &status, 0) != child)
		fail("waitpid");
	return status;
}

/* Without a shadow stack the attack must work, or the proof below would prove nothing. */
static void prove_attack_works_without(void)
{
	int si_code;
	int status = child_commits(return_elsewhere, false, &si_code);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != CHILD_LANDED)
		fail("without shadow stack the overwritten return does not land");
	printf("control: without shadow stack an overwritten return lands where it points\n");
}

static void prove_violations_die(void)
{
	int si_code;
	int status = child_commits(return_elsewhere, true, &si_code);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != CHILD_REPORTS) {
		printf("child: wait status 0x%x\n", status);
		fail("an overwritten return gave no SIGSEGV");
	}
	printf("violation: overwritten return: SIGSEGV si_code %d\n", si_code);
	if (si_code != SHSTK_SEGV_CPERR)
		fail("si_code is not SEGV_CPERR (10)");

	status = child_commits(return_elsewhere, false, &si_code);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
		fail("without a handler an overwritten return does not kill by SIGSEGV");
	printf("violation: overwritten return, no handler: killed by SIGSEGV\n");

	status = child_commits(store_to_shadow_stack, true, &si_code);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != CHILD_REPORTS || si_code != SEGV_ACCERR)
		fail("a plain store to the shadow stack is not refused");
	printf("violation: plain store to the shadow stack: SIGSEGV si_code %d\n", si_code);
}

static void prove_status(void)
{
	static char text[16 * 1024];
	unsigned long features = 0;
	long error = shstk_prctl(ARCH_SHSTK_STATUS, (unsigned long)&features);

	printf("arch_prctl: status 0x%lx\n", features);
	if (error || !(features & ARCH_SHSTK_SHSTK))
		fail("arch_prctl does not say that the shadow stack is on");

	read_text("/proc/self/status", text, sizeof(text));
	if (!line_has_word(text, "x86_Thread_features:", "shstk"))
		fail("/proc/self/status does not list shstk in x86_Thread_features");
	printf("status: x86_Thread_features shstk\n");

	if (!shstk_pointer())
		fail("rdssp says 0");
	printf("ssp: 0x%lx\n", (unsigned long)shstk_pointer());
	if (*(uint64_t *)shstk_pointer() != (uint64_t)__builtin_return_address(0))
		fail("the top of the shadow stack is not the return address");
	printf("ssp: points at the return address\n");
}

__attribute__((noreturn)) static void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"usage: shstk_proof [--tasks N | --threads N] [--switches N] [--report]\n"
		"  --tasks N     N processes at once (default 2)\n"
		"  --threads N   N threads at once instead\n"
		"  --switches N  context switches each of them checks (default 200)\n"
		"  --report      only say what the kernel says of CET\n");
	exit(status);
}

static unsigned parse_count(const char *text, unsigned max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < 1 || value > max) {
		fprintf(stderr, "shstk_proof: %s is not a number from 1 to %u\n", text, max);
		exit(EXIT_USAGE);
	}
	return (unsigned)value;
}

static Options parse_options(int argc, char **argv)
{
	static const struct option table[] = {{"tasks", required_argument, NULL, 't'},
					      {"threads", required_argument, NULL, 'T'},
					      {"switches", required_argument, NULL, 's'},
					      {"report", no_argument, NULL, 'r'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	Options options = {.plan = {.n_tasks = 2, .n_switches = 200}};

	for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
		switch (c) {
		case 't':
		case 'T':
			options.plan.n_tasks = parse_count(optarg, TASKS_MAX);
			options.plan.threads = c == 'T';
			break;
		case 's':
			options.plan.n_switches = parse_count(optarg, 100000000);
			break;
		case 'r':
			options.report_only = true;
			break;
		default:
			usage(c == 'h' ? EXIT_PROVEN : EXIT_USAGE);
		}
	}
	if (optind != argc)
		usage(EXIT_USAGE);
	return options;
}

__attribute__((noreturn, noinline)) static void prove(const Options *options)
{
	prove_status();
	if (!tasks_prove(&options->plan))
		fail("a task lost its shadow stack");
	prove_violations_die();
	printf("shstk_proof: all proven\n");
	exit(EXIT_PROVEN);
}

int main(int argc, char **argv)
{
	Options options = parse_options(argc, argv);

	setvbuf(stdout, NULL, _IOLBF, 0);
	report_kernel();
	if (options.report_only)
		return EXIT_PROVEN;
	prove_attack_works_without();

	long error = shstk_prctl(ARCH_SHSTK_ENABLE, ARCH_SHSTK_SHSTK);
	if (error) {
		printf("shstk_proof: no shadow stack: arch_prctl says %s\n",
		       strerrorname_np((int)-error));
		return EXIT_NO_SHSTK;
	}
	prove(&options);
}
