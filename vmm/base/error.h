// SPDX-License-Identifier: MIT
/*
 * One error domain. The codes are those that a caller branches on; everything
 * else a person needs is in the message: what was attempted, on what, what
 * came back, what to do. Messages carry no trailing newline or full stop.
 */
#ifndef UMBRA_BASE_ERROR_H
#define UMBRA_BASE_ERROR_H

#include <glib.h>
#include <stdbool.h>

#define UMBRA_ERROR umbra_error_quark()

typedef enum UmbraError {
	UMBRA_ERROR_FAILED,	  /* an operation of the system failed */
	UMBRA_ERROR_USAGE,	  /* an option or argument is wrong */
	UMBRA_ERROR_INPUT,	  /* a file or stream is not what it should be */
	UMBRA_ERROR_UNSUPPORTED,  /* this host cannot do it */
	UMBRA_ERROR_INCOMPATIBLE, /* a state and a host do not fit: exit status 1 */
	UMBRA_ERROR_GONE,	  /* the guest that was asked has ended */
} UmbraError;

GQuark umbra_error_quark(void);

/* Sets *error and returns false, so that `return umbra_fail(...)` reads well. */
bool umbra_fail(GError **error, UmbraError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The same for a failed system call: appends ": " and the text of `saved_errno`. */
bool umbra_fail_errno(GError **error, int saved_errno, const char *format, ...) G_GNUC_PRINTF(3, 4);

#endif
