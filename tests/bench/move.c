// SPDX-License-Identifier: MIT
/*
 * move: how much time stamp counter a live migration takes, seen by a client of both
 * sides' QMP sockets. Speaks to umbra and to QEMU alike.
 *
 *   move SOURCE TARGET COMMAND…
 *
 * SOURCE and TARGET are paths of Unix sockets; each COMMAND is one line of JSON for the
 * source, the last of them starts the migration. Prints key=value: total (from that
 * command to the target's event RESUME), stopped (from the source's STOP to RESUME).
 * With the umbra source's own account, where it has one: downtime_us and its parts.
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
#include <unistd.h>
#include <x86intrin.h>

#define TIMEOUT_MS 60000

typedef struct Peer {
	int fd;
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

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	peer->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(peer->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(path);
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

static void await(Peer *peer, const char *text)
{
	struct pollfd poller = {.fd = peer->fd, .events = POLLIN};

	errno = 0;
	while (!has(peer, text)) {
		if (poll(&poller, 1, TIMEOUT_MS) <= 0)
			die(text);
		take(peer);
	}
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

static void print_own_account(Peer *source)
{
	static const char *const parts[] = {"stop", "pages", "vcpus", "devices", "start", "total"};
	const char *account;

	forget(source);
	say(source, "{\"execute\": \"query-migrate\"}");
	await(source, "\"return\"");
	account = strstr(source->text, "\"x-umbra-downtime\"");
	for (unsigned i = 0; account && i < sizeof(parts) / sizeof(parts[0]); i++) {
		char key[32];
		const char *at;

		snprintf(key, sizeof(key), "\"%s\":", parts[i]);
		at = strstr(account, key);
		if (at)
			printf(" %s_us=%ld", parts[i], atol(at + strlen(key)));
	}
}

int main(int argc, char **argv)
{
	static Peer source, target;
	uint64_t started, stop, resume;

	if (argc < 4) {
		fprintf(stderr, "usage: move SOURCE TARGET COMMAND...\n");
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
	started = __rdtsc();
	say(&source, argv[argc - 1]);
	follow(&source, &target, &stop, &resume);
	printf("total=%lu stopped=%lu", resume - started, resume - stop);
	print_own_account(&source);
	printf("\n");
	return 0;
}
