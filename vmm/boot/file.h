// SPDX-License-Identifier: MIT
/*
 * The bytes of a kernel or initrd: a regular file, or memory that holds an
 * unpacked one, or a file of ours that is mapped as a whole. Everything read from it is hostile;
 * every read is checked against the size that was found when it was opened.
 */
#ifndef UMBRA_BOOT_FILE_H
#define UMBRA_BOOT_FILE_H

#include "mem/guest_memory.h"

#include <sys/stat.h>

typedef struct BootFile {
	const char *path;     /* for messages; belongs to the caller */
	uint64_t size;	      /* bytes */
	int fd;		      /* -1 if there is no file */
	const uint8_t *bytes; /* NULL if they are not in memory */
	uint64_t mapped;      /* length of the mapping at `bytes` that belongs to this BootFile */
	struct stat stat;     /* of a file that was opened */
} BootFile;

/*
 * `what` names its purpose in messages ("kernel", "initrd"). Only a regular
 * file that is not empty will do, and opening anything else never blocks.
 * UMBRA_ERROR_FAILED or UMBRA_ERROR_INPUT.
 */
bool boot_file_open(BootFile *file, const char *what, const char *path, GError **error);

/* `mapped` is the length of the mapping that starts at `bytes` and is given away, or 0. */
void boot_file_init_bytes(BootFile *file, const char *path, const void *bytes, uint64_t size,
			  uint64_t mapped);
void boot_file_finish(BootFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BootFile, boot_file_finish)

/* An open BootFile that is not one yet: finish may be called on it. */
#define BOOT_FILE_NONE   \
	{                \
		.fd = -1 \
	}

/* Whether [offset, offset + length) lies in the file. Never overflows. */
bool boot_file_holds(const BootFile *file, uint64_t offset, uint64_t length);

/* Copies bytes out; UMBRA_ERROR_INPUT if they are not in the file (any more). */
bool boot_file_read(const BootFile *file, uint64_t offset, void *to, uint64_t length,
		    GError **error);

/*
 * The next stretch at or behind `from` that holds data, in whole pages: [start,
 * end) may reach behind the end of the file to the end of its page. What is
 * between such stretches are holes, which read as zeros and cost memory if
 * somebody maps and touches them. `from` is a multiple of a page.
 */
bool boot_file_next_data(const BootFile *file, uint64_t from, uint64_t *ret_start,
			 uint64_t *ret_end);

/*
 * Copies bytes into fresh guest memory. Pages that hold only zeros are left
 * untouched there: memory that nobody touches costs nothing.
 */
bool boot_file_load(const BootFile *file, uint64_t offset, uint64_t length, GuestMemory *memory,
		    uint64_t gpa, GError **error);

#endif
