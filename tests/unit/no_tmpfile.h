// SPDX-License-Identifier: MIT
/* A file system without O_TMPFILE, wherever the tests run. */
#ifndef UMBRA_TESTS_NO_TMPFILE_H
#define UMBRA_TESTS_NO_TMPFILE_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>

static bool no_tmpfile;

/* <fcntl.h> makes openat() this one where file offsets have 64 bits: meson.build wraps it. */
int __real_openat64(int folder, const char *path, int flags, mode_t mode);
int __wrap_openat64(int folder, const char *path, int flags, ...);

int __wrap_openat64(int folder, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	if (no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return __real_openat64(folder, path, flags, mode);
}

#endif
