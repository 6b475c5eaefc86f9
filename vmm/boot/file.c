// SPDX-License-Identifier: MIT
#include "boot/file.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

bool boot_file_open(BootFile *file, const char *what, const char *path, GError **error)
{
	*file = (BootFile)BOOT_FILE_NONE;
	file->path = path;
	/* Non-blocking, for a FIFO that nobody writes to would hold the open for ever. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file->fd < 0)
		return umbra_fail_errno(error, errno, "cannot open %s '%s'", what, path);
	if (fstat(file->fd, &file->stat) < 0)
		return umbra_fail_errno(error, errno, "cannot examine %s '%s'", what, path);
	if (S_ISDIR(file->stat.st_mode))
		return umbra_fail(error, UMBRA_ERROR_INPUT, "%s '%s' is a directory", what, path);
	if (!S_ISREG(file->stat.st_mode))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "%s '%s' is not a regular file: copy it into one", what, path);
	if (file->stat.st_size == 0)
		return umbra_fail(error, UMBRA_ERROR_INPUT, "%s '%s' is empty", what, path);
	file->size = (uint64_t)file->stat.st_size;
	return true;
}

void boot_file_init_bytes(BootFile *file, const char *path, const void *bytes, uint64_t size)
{
	*file = (BootFile){.path = path, .size = size, .fd = -1, .bytes = bytes};
}

void boot_file_finish(BootFile *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

bool boot_file_holds(const BootFile *file, uint64_t offset, uint64_t length)
{
	return offset <= file->size && length <= file->size - offset;
}

static bool read_fd(const BootFile *file, uint64_t offset, uint8_t *to, uint64_t length,
		    GError **error)
{
	while (length > 0) {
		ssize_t n = pread(file->fd, to, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return umbra_fail_errno(error, errno, "cannot read '%s' at byte %" PRIu64,
						file->path, offset);
		if (n == 0)
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "'%s' became shorter while it was read", file->path);
		to += n;
		offset += (uint64_t)n;
		length -= (uint64_t)n;
	}
	return true;
}

bool boot_file_read(const BootFile *file, uint64_t offset, void *to, uint64_t length,
		    GError **error)
{
	if (!boot_file_holds(file, offset, length))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "'%s' is truncated: it has %" PRIu64 " bytes and needs byte "
				  "%" PRIu64,
				  file->path, file->size, MAX(offset, file->size));
	if (file->bytes) {
		memcpy(to, file->bytes + offset, length);
		return true;
	}
	return read_fd(file, offset, to, length, error);
}

bool boot_file_load(const BootFile *file, uint64_t offset, uint64_t length, GuestMemory *memory,
		    uint64_t gpa, GError **error)
{
	void *to = guest_memory_at(memory, gpa, length);

	if (!to)
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "'%s': %" PRIu64 " bytes at 0x%" PRIx64 " are not in memory",
				  file->path, length, gpa);
	return boot_file_read(file, offset, to, length, error);
}
