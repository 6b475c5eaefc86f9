// SPDX-License-Identifier: MIT
/*
 * measure: how much time stamp counter a VMM needs from exec to a text that its
 * guest prints, and from there to its own end. Meant for the emulated CET
 * machine, where the counter advances once per instruction (docs/lab.md), so
 * that the figures are instruction counts, waiting included.
 *
 *   measure [--marker TEXT] [--ram MIB] [--timeout SECONDS] -- COMMAND…
 *   measure --calibrate
 *
 * Prints one line of key=value: start (exec to marker), end (marker to the end
 * of the process), exits (VM exits until the marker, from KVM's debugfs),
 * rss_kib (resident memory but for mappings of RAM or more in size), status.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

extern char **environ;

typedef struct Measurement {
	const char *marker;
	unsigned long ram_mib;
	int timeout;
	uint64_t started, marked, ended;
	long exits;
	long rss_kib;
	int status;
} Measurement;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* KVM makes a directory PID-FD for each VM; its file `exits` sums over the vCPUs. */
static long read_exits(pid_t pid)
{
	DIR *kvm = opendir("/sys/kernel/debug/kvm");
	struct dirent *entry;
	char prefix[32], path[512];
	long exits = -1;

	snprintf(prefix, sizeof(prefix), "%d-", (int)pid);
	while (kvm && (entry = readdir(kvm))) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%s/exits", entry->d_name);
		FILE *file = fopen(path, "r");

		if (file && fscanf(file, "%ld", &exits) != 1)
			exits = -1;
		if (file)
			fclose(file);
	}
	if (kvm)
		closedir(kvm);
	return exits;
}

/* Resident memory of all mappings that are smaller than the guest's RAM could be. */
static long read_rss(pid_t pid, unsigned long ram_mib)
{
	char path[64], line[512];
	unsigned long from, to, kib;
	bool counts = false;
	long rss = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	FILE *file = fopen(path, "r");

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			counts = !strstr(line, "umbra-ram") && to - from < ram_mib << 19;
		else if (counts && sscanf(line, "Rss: %lu kB", &kib) == 1)
			rss += (long)kib;
	}
	fclose(file);
	return rss;
}

static pid_t spawn(char **argv, int *ret_output)
{
	posix_spawn_file_actions_t actions;
	int output[2];
	pid_t pid;

	if (pipe(output) < 0)
		die("pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output[1], 1);
	posix_spawn_file_actions_addclose(&actions, output[0]);
	posix_spawn_file_actions_addclose(&actions, output[1]);
	errno = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	if (errno)
		die(argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	close(output[1]);
	*ret_output = output[0];
	return pid;
}

/* Reads on until `marker` (NULL: the end of the output); false at end or timeout. */
static bool read_until(int fd, const char *marker, int timeout)
{
	static char window[65536];
	size_t have = 0;
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (poll(&poll_fd, 1, timeout * 1000) > 0) {
		ssize_t n = read(fd, window + have, sizeof(window) - 1 - have);

		if (n <= 0)
			return marker == NULL;
		have += (size_t)n;
		window[have] = '\0';
		if (marker && strstr(window, marker))
			return true;
		if (have > sizeof(window) / 2) {
			memmove(window, window + have - 256, 256);
			have = 256;
		}
	}
	return false;
}

static bool measure(Measurement *m, char **argv)
{
	int output, raw;

	m->started = __rdtsc();
	pid_t pid = spawn(argv, &output);
	bool seen = read_until(output, m->marker, m->timeout);

	m->marked = __rdtsc();
	if (seen && m->ram_mib) {
		/* Looking costs time that must not count as the VMM's. */
		uint64_t before = __rdtsc();

		kill(pid, SIGSTOP);
		m->exits = read_exits(pid);
		m->rss_kib = read_rss(pid, m->ram_mib);
		kill(pid, SIGCONT);
		m->marked += __rdtsc() - before;
		m->started += __rdtsc() - before;
	}
	if (!seen || !read_until(output, NULL, m->timeout))
		kill(pid, SIGKILL);
	if (waitpid(pid, &raw, 0) < 0)
		die("waitpid");
	m->ended = __rdtsc();
	m->status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
	return seen;
}

/* 20 million instructions, in counts of the clock: more means that others ran meanwhile. */
static int calibrate(void)
{
	const double instructions = 20e6;
	uint64_t n = 10000000;
	uint64_t start = __rdtsc();

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(n));
	uint64_t count = __rdtsc() - start;

	printf("calibrate count=%llu drift=%.4f\n", (unsigned long long)count,
	       (double)count / instructions - 1);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--calibrate") == 0)
		return calibrate();

	Measurement m = {.marker = "MARK", .timeout = 120, .exits = -1, .rss_kib = -1};
	int at = 1;

	for (; at + 1 < argc && strcmp(argv[at], "--") != 0; at += 2) {
		if (strcmp(argv[at], "--marker") == 0)
			m.marker = argv[at + 1];
		else if (strcmp(argv[at], "--ram") == 0)
			m.ram_mib = strtoul(argv[at + 1], NULL, 10);
		else if (strcmp(argv[at], "--timeout") == 0)
			m.timeout = atoi(argv[at + 1]);
		else
			break;
	}
	if (at + 1 >= argc || strcmp(argv[at], "--") != 0) {
		fprintf(stderr, "usage: measure [--marker TEXT] [--ram MIB] [--timeout SECONDS] "
				"-- COMMAND…\n");
		return 2;
	}
	bool seen = measure(&m, argv + at + 1);

	printf("start=%llu end=%llu exits=%ld rss_kib=%ld status=%d%s\n",
	       (unsigned long long)(m.marked - m.started), (unsigned long long)(m.ended - m.marked),
	       m.exits, m.rss_kib, m.status, seen ? "" : " marker=missing");
	return seen ? 0 : 1;
}
