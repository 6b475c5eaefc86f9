// SPDX-License-Identifier: MIT
/*
 * move: how much time stamp counter a live migration takes, seen by a client of both
 * sides' QMP sockets. Speaks to umbra and to QEMU alike.
 *
 *   move SOURCE TARGET COMMAND…
 *   move --store SOURCE FILE
 *
 * SOURCE and TARGET are paths of Unix sockets; each COMMAND is one line of JSON for the
 * source, the last of them starts the migration. Prints key=value: total (from that
 * command to the target's event RESUME), stopped (from the source's STOP to RESUME),
 * source and target (CPU time of either process, guest included, until the source has done),
 * all in ticks; pages (sent with data), ns (as total). With the umbra source's own account of
 * the stop by stages, in µs.
 *
 * --store has QEMU store its guest in a new FILE (mapped-ram) and lets it go on. Prints start
 * (from the command to the event RESUME).
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define TIMEOUT_MS 60000

typedef struct Peer {
	int fd;
	clockid_t cpu;	    /* the time that its process has used */
	char text[1 << 16]; /* what came and was not taken yet */
	size_t length;
} Peer;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "move: %s: %s\n", what, errno ? strerror(errno) : "no answer");
	exit(2);
}

static void say(Peer *peer, const char *line)
{
	size_t length = strlen(line);

	if (write(peer->fd, line, length) != (ssize_t)length || write(peer->fd, "\n", 1) != 1)
		die("write");
}

static void connect_to(Peer *peer, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ucred credentials;
	socklen_t length = sizeof(credentials);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	peer->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(peer->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(path);
	if (getsockopt(peer->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
		die("SO_PEERCRED");
	errno = clock_getcpuclockid(credentials.pid, &peer->cpu);
	if (errno)
		die("clock_getcpuclockid");
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec time;

	if (clock_gettime(clock, &time) < 0)
		die("clock_gettime");
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Reads what is there; the caller has polled. */
static void take(Peer *peer)
{
	ssize_t n =
		read(peer->fd, peer->text + peer->length, sizeof(peer->text) - 1 - peer->length);

	if (n <= 0)
		die("connection");
	peer->length += (size_t)n;
	peer->text[peer->length] = '\0';
}

static bool has(const Peer *peer, const char *text)
{
	return peer->length > 0 && strstr(peer->text, text);
}

static void forget(Peer *peer)
{
	peer->length = 0;
	peer->text[0] = '\0';
}

static void await_either(Peer *peer, const char *text, const char *other)
{
	struct pollfd poller = {.fd = peer->fd, .events = POLLIN};

	errno = 0;
	while (!has(peer, text) && !has(peer, other)) {
		if (poll(&poller, 1, TIMEOUT_MS) <= 0)
			die(text);
		take(peer);
	}
}

static void await(Peer *peer, const char *text)
{
	await_either(peer, text, text);
}

static void execute(Peer *peer, const char *command)
{
	forget(peer);
	say(peer, command);
	await(peer, "\"return\"");
}

/* Until the source has said STOP and the target RESUME; when each came. */
static void follow(Peer *source, Peer *target, uint64_t *ret_stop, uint64_t *ret_resume)
{
	struct pollfd pollers[] = {{source->fd, POLLIN, 0}, {target->fd, POLLIN, 0}};

	*ret_stop = *ret_resume = 0;
	errno = 0;
	while (*ret_resume == 0) {
		if (poll(pollers, 2, TIMEOUT_MS) <= 0)
			die("the migration");
		uint64_t now = __rdtsc();

		if (pollers[0].revents)
			take(source);
		if (pollers[1].revents)
			take(target);
		if (*ret_stop == 0 && has(source, "\"STOP\""))
			*ret_stop = now;
		if (has(target, "\"RESUME\""))
			*ret_resume = now;
	}
}

/* The number behind "KEY": in `text`, or -1. */
static long number(const char *text, const char *key)
{
	const char *at = text ? strstr(text, key) : NULL;

	return at ? atol(at + strlen(key)) : -1;
}

/* Until the source knows that its guest has gone; its last account is in `text` then. */
static void await_completion(Peer *source)
{
	for (;;) {
		forget(source);
		say(source, "{\"execute\": \"query-migrate\"}");
		await(source, "\"return\"");
		if (has(source, "\"completed\""))
			return;
		if (has(source, "\"failed\""))
			die("the migration");
		usleep(1000);
	}
}

static void print_own_account(const Peer *source)
{
	static const char *const parts[] = {"stop", "pages", "vcpus", "devices", "start", "total"};
	const char *account = strstr(source->text, "\"x-umbra-downtime\"");

	printf(" pages=%ld", number(strstr(source->text, "\"ram\""), "\"normal\":"));
	for (unsigned i = 0; account && i < sizeof(parts) / sizeof(parts[0]); i++) {
		char key[32];

		snprintf(key, sizeof(key), "\"%s\":", parts[i]);
		printf(" %s_us=%ld", parts[i], number(account, key));
	}
}

typedef struct Moment {
	uint64_t ticks, ns, source, target; /* the last two CPU time in ns */
} Moment;

static Moment look(const Peer *source, const Peer *target)
{
	return (Moment){
		.source = read_clock(source->cpu),
		.target = read_clock(target->cpu),
		.ns = read_clock(CLOCK_MONOTONIC),
		.ticks = __rdtsc(),
	};
}

/* QEMU refuses until its migration is "finalized", of which no event tells. */
static void resume(Peer *source)
{
	for (;;) {
		forget(source);
		say(source, "{\"execute\": \"cont\"}");
		await_either(source, "\"return\"", "\"error\"");
		if (has(source, "\"return\""))
			break;
		usleep(100);
	}
	await(source, "\"RESUME\"");
}

static int store(const char *path, const char *file)
{
	static Peer source;
	char command[512];

	connect_to(&source, path);
	execute(&source, "{\"execute\": \"qmp_capabilities\"}");
	execute(&source, "{\"execute\": \"migrate-set-capabilities\", \"arguments\": "
			 "{\"capabilities\": [{\"capability\": \"events\", \"state\": true}, "
			 "{\"capability\": \"mapped-ram\", \"state\": true}]}}");
	/* It holds itself to 128 MiB/s unless it is told otherwise. */
	execute(&source, "{\"execute\": \"migrate-set-parameters\", \"arguments\": "
			 "{\"max-bandwidth\": 10000000000}}");
	snprintf(command, sizeof(command),
		 "{\"execute\": \"migrate\", \"arguments\": {\"uri\": \"file:%s\"}}", file);
	forget(&source);
	uint64_t begin = __rdtsc();

	say(&source, command);
	await(&source, "\"completed\"");
	resume(&source);
	printf("start=%llu status=0\n", (unsigned long long)(__rdtsc() - begin));
	return 0;
}

int main(int argc, char **argv)
{
	static Peer source, target;
	Moment begin, end;
	uint64_t stop, resume;

	if (argc == 4 && strcmp(argv[1], "--store") == 0)
		return store(argv[2], argv[3]);
	if (argc < 4) {
		fprintf(stderr, "usage: move SOURCE TARGET COMMAND... | --store SOURCE FILE\n");
		return 2;
	}
	connect_to(&source, argv[1]);
	connect_to(&target, argv[2]);
	execute(&source, "{\"execute\": \"qmp_capabilities\"}");
	execute(&target, "{\"execute\": \"qmp_capabilities\"}");
	for (int i = 3; i < argc - 1; i++)
		execute(&source, argv[i]);
	forget(&source);
	forget(&target);
	begin = look(&source, &target);
	say(&source, argv[argc - 1]);
	follow(&source, &target, &stop, &resume);
	await_completion(&source);
	end = look(&source, &target);
	double ticks_per_ns = (double)(end.ticks - begin.ticks) / (double)(end.ns - begin.ns);

	printf("total=%lu stopped=%lu source=%.0f target=%.0f ns=%.0f status=0",
	       resume - begin.ticks, resume - stop,
	       (double)(end.source - begin.source) * ticks_per_ns,
	       (double)(end.target - begin.target) * ticks_per_ns,
	       (double)(resume - begin.ticks) / ticks_per_ns);
	print_own_account(&source);
	printf("\n");
	return 0;
}
