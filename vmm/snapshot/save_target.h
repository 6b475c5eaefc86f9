// SPDX-License-Identifier: MIT
/* A file that appears under its name whole or not at all. */
#ifndef UMBRA_SNAPSHOT_SAVE_TARGET_H
#define UMBRA_SNAPSHOT_SAVE_TARGET_H

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct SaveTarget {
	const char *path; /* as the user gave it; the caller's */
	char *name;	  /* its last part */
	int folder;
	int fd;		 /* to write to */
	char *temporary; /* the name it has meanwhile, in `folder`; NULL: none */
	sigset_t signals;
	bool blocked;
} SaveTarget;

/*
 * Refuses what exists and is no regular file. Until save_target_finish(), a write
 * beyond the process's limit for files (setrlimit(2)) fails with EFBIG instead of
 * killing the process. Call _finish() in any case: without save_target_commit() nothing
 * is left of the new file, and the older one was not touched.
 */
bool save_target_init(SaveTarget *target, const char *path, GError **error);
bool save_target_commit(SaveTarget *target, GError **error);
void save_target_finish(SaveTarget *target);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SaveTarget, save_target_finish)

/* All of it, at this place. */
bool save_target_write(SaveTarget *target, const void *data, size_t size, uint64_t offset,
		       GError **error);

#endif
