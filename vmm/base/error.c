// SPDX-License-Identifier: MIT
#include "base/error.h"

#include <stdarg.h>

G_DEFINE_QUARK(umbra - error - quark, umbra_error)

bool umbra_fail(GError **error, UmbraError code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autoptr(GError) made = g_error_new_valist(UMBRA_ERROR, (int)code, format, args);
	va_end(args);
	g_propagate_error(error, g_steal_pointer(&made));
	return false;
}

bool umbra_fail_errno(GError **error, int saved_errno, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autofree char *what = g_strdup_vprintf(format, args);
	va_end(args);
	return umbra_fail(error, UMBRA_ERROR_FAILED, "%s: %s", what, g_strerror(saved_errno));
}
