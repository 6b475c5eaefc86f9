// SPDX-License-Identifier: MIT
#include "boot/cache.h"

#include "boot/pages.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENTRY_SUFFIX ".elf"
#define TEMP_SUFFIX  ".new"
#define TEMP_MAX_AGE 3600 /* seconds after which a temporary file is a crash's leavings */

/* Behind the kernel, which is padded to a page with zeros. */
typedef struct Trailer {
	char magic[16];
	uint64_t size; /* of the kernel, without padding */
	uint64_t checksum;
} Trailer;

static const char trailer_magic[16] = "umbra kernel 1\n";

/* "DEV-INO-SIZE-MTIME-CTIME.elf"; the caller frees it. */
static char *entry_name(const BootFile *source)
{
	const struct stat *s = &source->stat;

	return g_strdup_printf("%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%09lu-%" PRIx64
			       ".%09lu" ENTRY_SUFFIX,
			       (uint64_t)s->st_dev, (uint64_t)s->st_ino, (uint64_t)s->st_size,
			       (uint64_t)s->st_mtim.tv_sec, (unsigned long)s->st_mtim.tv_nsec,
			       (uint64_t)s->st_ctim.tv_sec, (unsigned long)s->st_ctim.tv_nsec);
}

static bool ours_alone(const struct stat *s)
{
	return s->st_uid == geteuid() && (s->st_mode & 077) == 0;
}

/* The open folder, or -1. */
static int open_folder(bool create)
{
	g_autofree char *path = g_build_filename(g_get_user_cache_dir(), "umbra", "kernels", NULL);
	struct stat s;
	int fd;

	if (create && g_mkdir_with_parents(path, 0700) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &s) < 0 || !ours_alone(&s))) {
		close(fd);
		return -1;
	}
	return fd;
}

static uint64_t padded(uint64_t size)
{
	return (size + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

static uint64_t checksum(const BootFile *file)
{
	uint64_t start, end = 0;
	PagesSum sum;

	pages_sum_init(&sum);
	while (boot_file_next_data(file, end, &start, &end))
		pages_sum_add(&sum, file->bytes + start, end - start, start);
	return pages_sum_value(&sum);
}

/* Whether an entry of `length` bytes is whole; then `file` ends where the kernel does. */
static bool believe(BootFile *file, uint64_t length)
{
	uint64_t pages = length - sizeof(Trailer);
	Trailer trailer;

	memcpy(&trailer, file->bytes + pages, sizeof(trailer));
	if (memcmp(trailer.magic, trailer_magic, sizeof(trailer_magic)) != 0 || trailer.size == 0 ||
	    trailer.size > pages || padded(trailer.size) != pages)
		return false;
	file->size = trailer.size;
	return checksum(file) == trailer.checksum;
}

/* Takes over `fd`, whatever comes of it. */
static bool map_entry(int fd, const BootFile *source, BootFile *ret_file)
{
	g_auto(BootFile) file = {.path = source->path, .fd = fd};
	uint64_t length;
	void *bytes;

	if (fstat(fd, &file.stat) < 0 || !S_ISREG(file.stat.st_mode) || !ours_alone(&file.stat) ||
	    file.stat.st_size <= (off_t)sizeof(Trailer))
		return false;
	length = (uint64_t)file.stat.st_size;
	/* Nobody writes to an entry (one that is replaced is another file), so it will not shrink.
	 */
	bytes = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return false;
	file.bytes = bytes;
	file.mapped = length;
	if (!believe(&file, length))
		return false;
	*ret_file = file;
	file = (BootFile)BOOT_FILE_NONE;
	return true;
}

bool cache_find(const BootFile *source, BootFile *ret_file)
{
	g_autofree char *name = entry_name(source);
	int folder = open_folder(false), fd = -1;
	bool found = false;

	if (folder >= 0)
		fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0)
		found = map_entry(fd, source, ret_file);
	if (found) /* it ages from its last use */
		futimens(fd, NULL);
	if (folder >= 0)
		close(folder);
	return found;
}

/* Removes the oldest entries but CACHE_ENTRIES_MAX, and temporary files that nobody writes any
 * more.
 */
static void remove_old(int folder)
{
	DIR *entries = fdopendir(dup(folder));
	char oldest[NAME_MAX + 1] = "";
	struct timespec oldest_time = {0}, now;
	struct dirent *entry;
	unsigned n = 0;

	if (!entries)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	rewinddir(entries);
	while ((entry = readdir(entries))) {
		struct stat s;

		if (fstatat(folder, entry->d_name, &s, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(s.st_mode))
			continue;
		if (g_str_has_suffix(entry->d_name, TEMP_SUFFIX)) {
			if (now.tv_sec - s.st_mtim.tv_sec > TEMP_MAX_AGE)
				unlinkat(folder, entry->d_name, 0);
			continue;
		}
		if (!g_str_has_suffix(entry->d_name, ENTRY_SUFFIX))
			continue;
		n++;
		if (n == 1 || s.st_mtim.tv_sec < oldest_time.tv_sec ||
		    (s.st_mtim.tv_sec == oldest_time.tv_sec &&
		     s.st_mtim.tv_nsec < oldest_time.tv_nsec)) {
			oldest_time = s.st_mtim;
			g_strlcpy(oldest, entry->d_name, sizeof(oldest));
		}
	}
	closedir(entries);
	if (n > CACHE_ENTRIES_MAX && unlinkat(folder, oldest, 0) == 0 && n > CACHE_ENTRIES_MAX + 1)
		remove_old(folder);
}

static bool write_at(int fd, const void *bytes, uint64_t length, uint64_t at)
{
	const uint8_t *from = bytes;

	while (length > 0) {
		ssize_t n = pwrite(fd, from, length, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		from += n;
		at += (uint64_t)n;
		length -= (uint64_t)n;
	}
	return true;
}

/* Pages of zeros become holes: a kernel has megabytes of them. */
static bool write_entry(int fd, const BootFile *unpacked)
{
	uint64_t pages = padded(unpacked->size), start, end = 0;
	Trailer trailer = {.size = unpacked->size, .checksum = checksum(unpacked)};

	memcpy(trailer.magic, trailer_magic, sizeof(trailer_magic));
	while (pages_next_run(unpacked->bytes, pages, end, &start, &end))
		if (!write_at(fd, unpacked->bytes + start, end - start, start))
			return false;
	/* The trailer comes last, and the name later still. */
	return write_at(fd, &trailer, sizeof(trailer), pages);
}

void cache_store(const BootFile *source, const BootFile *unpacked)
{
	g_autofree char *name = entry_name(source);
	g_autofree char *temp = g_strdup_printf("%d-%s" TEMP_SUFFIX, getpid(), name);
	int folder = open_folder(true), fd;

	if (folder < 0)
		return;
	fd = openat(folder, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0) {
		bool ok = write_entry(fd, unpacked);

		ok = close(fd) == 0 && ok && renameat(folder, temp, folder, name) == 0;
		if (!ok)
			unlinkat(folder, temp, 0);
		remove_old(folder);
	}
	close(folder);
}
