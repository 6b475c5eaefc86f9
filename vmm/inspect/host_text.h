// SPDX-License-Identifier: MIT
/* What a host offers for CET, for people and for programs. */
#ifndef UMBRA_INSPECT_HOST_TEXT_H
#define UMBRA_INSPECT_HOST_TEXT_H

#include "state/host_info.h"

/* Lines for a terminal, the last one ending in a newline; free with g_free. */
char *host_text(const HostInfo *info);

/*
 * One JSON object, with all that a check on another machine
 * needs of this one; ends in a newline; free with g_free.
 */
char *host_json(const HostInfo *info);

/*
 * Its inverse, for a description that came from anywhere: UMBRA_ERROR_INPUT says what
 * is missing or wrong. Only what a check of a state needs is read; the rest stays zero.
 * *ret_info is to be finished in any case.
 */
#define HOST_JSON_MAX (256u << 10) /* bytes; a tree of JSON is some hundred times its text */
bool host_info_from_json(const char *text, size_t size, HostInfo *ret_info, GError **error);

#endif
