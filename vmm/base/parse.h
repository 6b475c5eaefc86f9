// SPDX-License-Identifier: MIT
/* Numbers as people type them. Nothing is guessed: what is left over after the number is an error.
 */
#ifndef UMBRA_BASE_PARSE_H
#define UMBRA_BASE_PARSE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* An unsigned number, decimal or 0x…, within [min, max]; `what` names it in the error. */
bool parse_uint(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *ret,
		GError **error);

/* A size in bytes: a decimal number with an optional suffix K, M, G or T (powers of 1024). */
bool parse_size(const char *what, const char *text, uint64_t *ret, GError **error);

#endif
