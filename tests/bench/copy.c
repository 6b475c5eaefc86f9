// SPDX-License-Identifier: MIT
/*
 * copy MIB: how long MIB MiB take from one process to another over a Unix socket, in pieces
 * of 1 MiB, out of huge pages into huge pages that were never touched, where the host has
 * them. What a migration's speed is held against. Prints ns=N.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1UL << 20)

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

static uint8_t *map(size_t size)
{
	uint8_t *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	madvise(memory, size, MADV_HUGEPAGE);
	return memory;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static _Noreturn void receive(int fd, size_t size)
{
	uint8_t *to = map(size);

	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, to + done, size - done < MIB ? size - done : MIB);

		if (n <= 0)
			_exit(1);
		done += (size_t)n;
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	size_t size = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1024) * MIB;
	uint8_t *from = map(size);
	int ends[2], status;

	memset(from, 3, size);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		die("socketpair");
	uint64_t begin = now();
	pid_t child = fork();

	if (child == 0)
		receive(ends[1], size);
	for (size_t done = 0; child > 0 && done < size;) {
		ssize_t n = write(ends[0], from + done, size - done < MIB ? size - done : MIB);

		if (n <= 0)
			die("write");
		done += (size_t)n;
	}
	if (waitpid(child, &status, 0) < 0 || status != 0)
		die("the receiver");
	printf("ns=%lu\n", now() - begin);
	return 0;
}
