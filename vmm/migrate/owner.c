// SPDX-License-Identifier: MIT
#include "migrate/owner.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME  "umbra-owner"
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

typedef struct Word {
	uint8_t session[SESSION_SIZE];
	_Atomic uint32_t side;
} Word;

struct Owner {
	int fd;
	Word *word;
};

static void this_host(OwnerTicket *ticket)
{
	g_autofree char *boot_id = NULL;
	struct stat status;

	memset(ticket, 0, sizeof(*ticket));
	if (g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot_id, NULL, NULL))
		strncpy(ticket->boot_id, g_strchomp(boot_id), sizeof(ticket->boot_id) - 1);
	if (stat("/proc/self/ns/pid", &status) == 0)
		ticket->pid_namespace = status.st_ino;
}

/* Takes over `fd`. */
static Owner *map(int fd)
{
	Word *word = mmap(NULL, sizeof(Word), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (word == MAP_FAILED) {
		close(fd);
		return NULL;
	}
	Owner *owner = g_new0(Owner, 1);

	owner->fd = fd;
	owner->word = word;
	return owner;
}

Owner *owner_create(const uint8_t session[SESSION_SIZE], OwnerTicket *ret_ticket, GError **error)
{
	int fd = memfd_create(NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	Owner *owner = NULL;

	if (fd >= 0 && (ftruncate(fd, sizeof(Word)) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)) {
		int failed = errno;

		close(fd);
		errno = failed;
		fd = -1;
	}
	if (fd >= 0)
		owner = map(fd);
	if (!owner) {
		umbra_fail_errno(error, errno, "no memory to share with the target");
		return NULL;
	}
	memcpy(owner->word->session, session, SESSION_SIZE);
	this_host(ret_ticket);
	ret_ticket->pid = (uint32_t)getpid();
	ret_ticket->fd = (uint32_t)fd;
	return owner;
}

/* Whatever the other process may have there: only a sealed memory file is opened. */
static int open_file(const OwnerTicket *ticket)
{
	char path[64], target[128];
	struct stat status;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/fd/%u", ticket->pid, ticket->fd);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return -1;
	target[length] = '\0';
	if (!g_str_has_prefix(target, "/memfd:" NAME))
		return -1;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && (fcntl(fd, F_GET_SEALS) != SEALS || fstat(fd, &status) < 0 ||
			status.st_size != sizeof(Word))) {
		close(fd);
		return -1;
	}
	return fd;
}

Owner *owner_open(const uint8_t session[SESSION_SIZE], const OwnerTicket *ticket)
{
	g_autoptr(Owner) owner = NULL;
	OwnerTicket here;
	int fd;

	this_host(&here);
	if (!here.boot_id[0] || memcmp(here.boot_id, ticket->boot_id, sizeof(here.boot_id)) != 0 ||
	    here.pid_namespace != ticket->pid_namespace)
		return NULL;
	fd = open_file(ticket);
	if (fd < 0)
		return NULL;
	owner = map(fd);
	if (!owner || memcmp(owner->word->session, session, SESSION_SIZE) != 0)
		return NULL;
	return g_steal_pointer(&owner);
}

void owner_destroy(Owner *owner)
{
	if (!owner)
		return;
	munmap(owner->word, sizeof(*owner->word));
	close(owner->fd);
	g_free(owner);
}

bool owner_claim(Owner *owner, OwnerSide side)
{
	uint32_t found = OWNER_NOBODY;

	return atomic_compare_exchange_strong(&owner->word->side, &found, side) || found == side;
}
