// SPDX-License-Identifier: MIT
#include "snapshot/save_target.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool fail(const SaveTarget *target, int saved_errno, const char *attempt, GError **error)
{
	return umbra_fail_errno(error, saved_errno, "snapshot '%s': cannot %s", target->path,
				attempt);
}

static bool check_place(const SaveTarget *target, GError **error)
{
	struct stat status;

	if (fstatat(target->folder, target->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || fail(target, errno, "look at it", error);
	return S_ISREG(status.st_mode) ||
	       umbra_fail(error, UMBRA_ERROR_FAILED,
			  "snapshot '%s': exists and is no regular file: not replaced",
			  target->path);
}

static char *temporary_name(void)
{
	uint64_t number[2] = {0};

	/* Only a name: whoever has it already, makes the creation fail. */
	(void)!getrandom(number, sizeof(number), 0);
	return g_strdup_printf(".umbra-%016" PRIx64 "%016" PRIx64, number[0], number[1]);
}

/* Without a name, so that not even SIGKILL leaves something behind, where the file system can. */
static bool create(SaveTarget *target, GError **error)
{
	target->fd = openat(target->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (target->fd >= 0)
		return true;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return fail(target, errno, "create it", error);
	target->temporary = temporary_name();
	target->fd = openat(target->folder, target->temporary,
			    O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (target->fd >= 0)
		return true;
	g_clear_pointer(&target->temporary, g_free);
	return fail(target, errno, "create it", error);
}

static void block_signal(SaveTarget *target)
{
	sigset_t beyond_limit;

	sigemptyset(&beyond_limit);
	sigaddset(&beyond_limit, SIGXFSZ);
	target->blocked = pthread_sigmask(SIG_BLOCK, &beyond_limit, &target->signals) == 0;
}

static void unblock_signal(SaveTarget *target)
{
	const struct timespec now = {0};
	sigset_t beyond_limit;

	if (!target->blocked)
		return;
	sigemptyset(&beyond_limit);
	sigaddset(&beyond_limit, SIGXFSZ);
	if (!sigismember(&target->signals, SIGXFSZ))
		while (sigtimedwait(&beyond_limit, NULL, &now) >= 0)
			;
	pthread_sigmask(SIG_SETMASK, &target->signals, NULL);
}

bool save_target_init(SaveTarget *target, const char *path, GError **error)
{
	g_autofree char *folder = g_path_get_dirname(path);

	*target = (SaveTarget){.path = path, .folder = -1, .fd = -1};
	target->name = g_path_get_basename(path);
	block_signal(target);
	target->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->folder < 0)
		return fail(target, errno, "open its folder", error);
	return check_place(target, error) && create(target, error);
}

void save_target_finish(SaveTarget *target)
{
	if (target->temporary)
		unlinkat(target->folder, target->temporary, 0);
	if (target->fd >= 0)
		close(target->fd);
	if (target->folder >= 0)
		close(target->folder);
	g_free(target->temporary);
	g_free(target->name);
	unblock_signal(target);
}

/*
 * Bytes at a time. The page cache takes folios as large as a write, and where memory is in pieces
 * the kernel first makes room for them: a GiB took 0.3 s to write by 256 KiB and 3 s by 2 MiB
 * (ext4, Linux 6.18).
 */
#define WRITE_AT_ONCE (256u << 10)

bool save_target_write(SaveTarget *target, const void *data, size_t size, uint64_t offset,
		       GError **error)
{
	const char *from = data;

	while (size > 0) {
		ssize_t n = pwrite(target->fd, from, MIN(size, WRITE_AT_ONCE), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(target, n < 0 ? errno : EIO, "write it", error);
		from += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return true;
}

/* By its descriptor where the kernel lets everybody (6.10), by /proc otherwise. */
static int give_name(const SaveTarget *target, const char *name)
{
	char link[64];

	if (linkat(target->fd, "", target->folder, name, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno == EEXIST)
		return EEXIST;
	g_snprintf(link, sizeof(link), "/proc/self/fd/%d", target->fd);
	return linkat(AT_FDCWD, link, target->folder, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

/*
 * No call gives a file without a name one that is taken: then it gets a temporary one
 * first. Who is killed between the two leaves a second name of a whole file behind.
 */
static bool name_it(SaveTarget *target, GError **error)
{
	int result = give_name(target, target->name);

	if (result == EEXIST) {
		target->temporary = temporary_name();
		result = give_name(target, target->temporary);
		if (result != 0)
			g_clear_pointer(&target->temporary, g_free);
	}
	return result == 0 || fail(target, result, "name it", error);
}

bool save_target_commit(SaveTarget *target, GError **error)
{
	if (fsync(target->fd) < 0)
		return fail(target, errno, "write it to disk", error);
	if (!target->temporary && !name_it(target, error))
		return false;
	if (target->temporary) {
		if (renameat(target->folder, target->temporary, target->folder, target->name) < 0)
			return fail(target, errno, "name it", error);
		g_clear_pointer(&target->temporary, g_free);
	}
	/* Some file systems have nothing to do here and say so. */
	if (fsync(target->folder) < 0 && errno != EINVAL)
		return fail(target, errno, "write its folder to disk", error);
	return true;
}
