// SPDX-License-Identifier: MIT
#include "boot/file.h"

#include "base/error.h"
#include "base/layout.h"
#include "boot/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOW (16 * LAYOUT_MIB) /* of a file that is mapped at a time */

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

void boot_file_init_bytes(BootFile *file, const char *path, const void *bytes, uint64_t size,
			  uint64_t mapped)
{
	*file = (BootFile){
		.path = path,
		.size = size,
		.fd = -1,
		.bytes = bytes,
		.mapped = mapped,
	};
}

void boot_file_finish(BootFile *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
	if (file->mapped > 0)
		munmap((void *)file->bytes, file->mapped);
	file->mapped = 0;
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

static uint64_t page_down(uint64_t at)
{
	return at & ~(PAGE_BYTES - 1);
}

static uint64_t page_up(uint64_t at)
{
	return page_down(at + PAGE_BYTES - 1);
}

bool boot_file_next_data(const BootFile *file, uint64_t from, uint64_t *ret_start,
			 uint64_t *ret_end)
{
	off_t data = -1, hole = -1;

	if (from >= file->size)
		return false;
	if (file->fd >= 0) {
		data = lseek(file->fd, (off_t)from, SEEK_DATA);
		if (data < 0 && errno == ENXIO) /* nothing but a hole up to the end */
			return false;
		if (data >= 0)
			hole = lseek(file->fd, data, SEEK_HOLE);
	}
	/* A file system that knows no holes has none. */
	*ret_start = data < 0 ? from : page_down((uint64_t)data);
	*ret_end = page_up(hole < 0 ? file->size : MIN((uint64_t)hole, file->size));
	return *ret_start < *ret_end;
}

/*
 * A file is mapped, a window at a time: that spares a copy. Populating first
 * turns what would be a signal at the first touch (the file ends early, the
 * disk fails) into an error.
 */
static bool copy_window(const BootFile *file, uint64_t offset, uint64_t length, uint8_t *to,
			GError **error)
{
	uint64_t skip = offset % PAGE_BYTES;
	uint8_t *window =
		mmap(NULL, skip + length, PROT_READ, MAP_PRIVATE, file->fd, (off_t)(offset - skip));
	struct stat now;
	bool ok;

	if (window == MAP_FAILED)
		return umbra_fail_errno(error, errno, "cannot map '%s'", file->path);
	ok = madvise(window, skip + length, MADV_POPULATE_READ) == 0 &&
	     fstat(file->fd, &now) == 0 && (uint64_t)now.st_size >= offset + length;
	if (ok)
		pages_copy(to, window + skip, length);
	munmap(window, skip + length);
	/* Whatever the reason, reading meets it again and can name it. */
	return ok || read_fd(file, offset, to, length, error);
}

static bool copy_data(const BootFile *file, uint64_t offset, uint64_t length, uint8_t *to,
		      GError **error)
{
	uint64_t done = 0;

	if (file->bytes) {
		pages_copy(to, file->bytes + offset, length);
		return true;
	}
	for (uint64_t part; done < length; done += part) {
		part = MIN(length - done, WINDOW);
		if (!copy_window(file, offset + done, part, to + done, error))
			return false;
	}
	return true;
}

bool boot_file_load(const BootFile *file, uint64_t offset, uint64_t length, GuestMemory *memory,
		    uint64_t gpa, GError **error)
{
	uint8_t *to = guest_memory_at(memory, gpa, length);
	uint64_t end = offset + length, start, stop = page_down(offset);

	if (!to || !boot_file_holds(file, offset, length))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "'%s': %" PRIu64 " bytes from byte %" PRIu64
				  " do not go to address 0x%" PRIx64,
				  file->path, length, offset, gpa);
	while (stop < end && boot_file_next_data(file, stop, &start, &stop)) {
		uint64_t from = MAX(start, offset), to_end = MIN(stop, end);

		if (from < to_end &&
		    !copy_data(file, from, to_end - from, to + (from - offset), error))
			return false;
	}
	return true;
}
