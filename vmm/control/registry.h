// SPDX-License-Identifier: MIT
/*
 * Guests by name. A running guest NAME of this user is a socket NAME.sock in
 * one of a few private directories, the first that there is of:
 *
 *   $XDG_RUNTIME_DIR/umbra   /run/user/UID/umbra   /run/umbra (root)   /tmp/umbra-UID
 *
 * All are searched, so that a guest started in one environment is found in another.
 */
#ifndef UMBRA_CONTROL_REGISTRY_H
#define UMBRA_CONTROL_REGISTRY_H

#include <glib.h>
#include <stdbool.h>

/* Letters, digits, '.', '_', '-', beginning with a letter or digit; at most 64. */
bool registry_check_name(const char *name, GError **error);

/* Where a guest of that name is to listen. Makes the directory, mode 0700. g_free. */
char *registry_path_for(const char *name, GError **error);

/* The socket of a guest of that name, if its name exists, or NULL. g_free. */
char *registry_find(const char *name);

typedef struct RegistryEntry {
	char *name;
	char *path;
} RegistryEntry;

/* All names there are, by name; the guests may be dead. Of RegistryEntry, frees itself. */
GPtrArray *registry_list(void);

#endif
