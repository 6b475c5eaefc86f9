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
 * Its XRSTOR has a fault that costs programs their shadow stacks, which is repaired in memory.
 *
 * An emulator whose lab/run is gone has nobody to stop it, so it ends with it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((constructor)) static void end_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/*
 * XRSTOR of Bochs 3.0 goes through the components of the compacted format one by one. One that
 * is in the area (XCOMP_BV) but not asked for has its room there all the same; Bochs leaves it
 * out, and reads every later one from too low an address. Linux asks for CET_U alone when it
 * finds, on a signal's way in or out, that the task was preempted meanwhile: it then takes
 * what are the upper halves of YMM0 for U_CET and PL3_SSP.
 *
 * In the loop's code the branch for a component that is not asked for skips the addition of its
 * size, which stands just before the step to the next one. It is made to go to the addition.
 */
enum {
	LOOP_SIZE = 45,	 /* from the addition to the end of the branch */
	ADDITION = 0,	 /* if (XCOMP_BV & mask) offset += size */
	NEXT = 13,	 /* the step to the next component */
	SEARCHED = 4096, /* bytes of the function */
	ANY = -1,
};

static const int16_t loop[LOOP_SIZE] = {
	0x4d, 0x63, 0xd4,		    /* mask, in 64 bits */
	0x4c, 0x85, 0x54, 0x24, 0x20,	    /* in XCOMP_BV? */
	0x74, 0x03,			    /* if not, to NEXT */
	0x45, 0x03, 0x2f,		    /* offset += size */
	0x83, 0xc5, 0x01,		    /* NEXT: its number */
	0x49, 0x83, 0xc7, 0x48,		    /* its entry in the table */
	0x83, 0xfd, 0x14,		    /* was it the last? */
	0x0f, 0x84, ANY,  ANY,	ANY,  ANY,  /* then out */
	0x41, 0xbc, 0x01, 0x00, 0x00, 0x00, /* mask = 1 */
	0x89, 0xe9, 0x41, 0xd3, 0xe4,	    /* << number */
	0x45, 0x85, 0xf4,		    /* asked for? */
	0x74, 0xe0,			    /* if not, to NEXT */
};

_Static_assert((int8_t)0xe0 == NEXT - LOOP_SIZE, "the branch goes to NEXT");

static uint8_t *find_loop(uint8_t *code)
{
	for (size_t at = 0; at + LOOP_SIZE <= SEARCHED; at++) {
		size_t same = 0;

		while (same < LOOP_SIZE && (loop[same] == ANY || loop[same] == code[at + same]))
			same++;
		if (same == LOOP_SIZE)
			return code + at;
	}
	return NULL;
}

__attribute__((constructor)) static void repair_xrstor(void)
{
	uint8_t *code = dlsym(RTLD_DEFAULT, "_ZN8BX_CPU_C6XRSTOREP15bxInstruction_c");
	uint8_t *found = code ? find_loop(code) : NULL;
	uintptr_t page = (uintptr_t)found & -4096UL;
	size_t size = (uintptr_t)found + LOOP_SIZE - page;

	/* lab/run tells its user. */
	if (!found || mprotect((void *)page, size, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) {
		fputs("lab: this Bochs is not the one whose XRSTOR can be repaired: now and then "
		      "a program with a shadow stack will die by SIGSEGV in a signal handler\n",
		      stderr);
		return;
	}
	found[LOOP_SIZE - 1] = (uint8_t)(ADDITION - LOOP_SIZE);
	mprotect((void *)page, size, PROT_READ | PROT_EXEC);
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
