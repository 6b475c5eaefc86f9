// SPDX-License-Identifier: MIT
/*
 * Loaded into Bochs before its own libraries.
 *
 * Its only display that needs no screen is a VNC server, which would listen to the whole network
 * and has no password. Here it listens to nobody: its one client, if any, is the descriptor
 * UMBRA_LAB_DISPLAY names.
 *
 * When Bochs restores a machine it first copies the saved memory to a temporary file, holes and
 * all, and then reads the blocks that were in use from the copy. Here that temporary file is the
 * saved memory itself (UMBRA_LAB_MEMORY), so that only what was in use is read.
 *
 * An emulator whose lab/run is gone has nobody to stop it, so it ends with it.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((constructor)) static void end_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	(void)fd;
	(void)address;
	(void)length;
	return 0;
}

int listen(int fd, int backlog)
{
	(void)fd;
	(void)backlog;
	return 0;
}

int accept(int fd, struct sockaddr *address, socklen_t *length)
{
	const char *display = getenv("UMBRA_LAB_DISPLAY");

	(void)fd;
	(void)address;
	(void)length;
	if (display) {
		int client = atoi(display);

		unsetenv("UMBRA_LAB_DISPLAY");
		return client;
	}
	for (;;)
		pause();
}

FILE *tmpfile64(void)
{
	const char *memory = getenv("UMBRA_LAB_MEMORY");

	return memory ? fopen(memory, "rb") : NULL;
}
