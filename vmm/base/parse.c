// SPDX-License-Identifier: MIT
#include "base/parse.h"

#include "base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/*
 * strtoull accepts signs, blanks and octal; a person who types those made a mistake. A number
 * that is too large is UINT64_MAX with ERANGE.
 */
static bool take_number(const char *text, uint64_t *ret_value, const char **ret_rest)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	char *end = NULL;

	if (hex ? !g_ascii_isxdigit(digits[0]) : !g_ascii_isdigit(digits[0]))
		return false;
	errno = 0;
	*ret_value = g_ascii_strtoull(digits, &end, hex ? 16 : 10);
	*ret_rest = end;
	return true;
}

static bool too_large(const char *what, const char *text, GError **error)
{
	return umbra_fail(error, UMBRA_ERROR_USAGE, "%s: '%s' does not fit in 64 bits", what, text);
}

bool parse_uint(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *ret,
		GError **error)
{
	const char *rest;
	uint64_t value;

	if (!take_number(text, &value, &rest) || *rest != '\0')
		return umbra_fail(error, UMBRA_ERROR_USAGE, "%s: '%s' is not a number", what, text);
	if (errno == ERANGE)
		return too_large(what, text, error);
	if (value < min || value > max)
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "%s: %s is out of range: %" PRIu64 " to %" PRIu64, what, text,
				  min, max);
	*ret = value;
	return true;
}

bool parse_size(const char *what, const char *text, uint64_t *ret, GError **error)
{
	static const char suffixes[] = "KMGT";
	const char *rest;
	const char *suffix;
	uint64_t value;
	unsigned shift = 0;

	if (!take_number(text, &value, &rest))
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "%s: '%s' is not a size (try 512M or 2G)", what, text);
	if (*rest != '\0') {
		suffix = strchr(suffixes, g_ascii_toupper(*rest));
		if (!suffix || rest[1] != '\0')
			return umbra_fail(error, UMBRA_ERROR_USAGE,
					  "%s: '%s' is not a size: the suffix must be K, M, G or T",
					  what, text);
		shift = 10 * (unsigned)(suffix - suffixes + 1);
	}
	if (errno == ERANGE || value << shift >> shift != value)
		return too_large(what, text, error);
	*ret = value << shift;
	return true;
}
