// SPDX-License-Identifier: MIT
#include "control/registry.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX		".sock"
#define NAME_MAX_LENGTH 64

bool registry_check_name(const char *name, GError **error)
{
	bool good = g_ascii_isalnum(name[0]);

	for (const char *at = name; *at && good; at++)
		good = g_ascii_isalnum(*at) || strchr("._-", *at);
	if (!good || strlen(name) > NAME_MAX_LENGTH)
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "'%s' is no name for a guest: up to %d letters, digits, '.', "
				  "'_' and '-', a letter or digit first",
				  name, NAME_MAX_LENGTH);
	return true;
}

static bool exists(const char *directory)
{
	struct stat status;

	return stat(directory, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Where guests may be, in the order of registry.h. */
static GPtrArray *candidates(void)
{
	GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
	const char *runtime = g_getenv("XDG_RUNTIME_DIR");
	g_autofree char *user = g_strdup_printf("/run/user/%u", geteuid());

	if (runtime && g_path_is_absolute(runtime) && exists(runtime))
		g_ptr_array_add(paths, g_build_filename(runtime, "umbra", NULL));
	if (g_strcmp0(runtime, user) != 0 && exists(user))
		g_ptr_array_add(paths, g_build_filename(user, "umbra", NULL));
	if (geteuid() == 0)
		g_ptr_array_add(paths, g_strdup("/run/umbra"));
	g_ptr_array_add(paths, g_strdup_printf("/tmp/umbra-%u", geteuid()));
	return paths;
}

/*
 * A directory that others can write to, or that is another's, would let them
 * stand in for our guests.
 */
static bool check_directory(const char *path, GError **error)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return umbra_fail_errno(error, errno, "directory %s", path);
	if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || status.st_mode & 077)
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "directory %s is not a directory of mode 0700 of this user: "
				  "remove it, or set XDG_RUNTIME_DIR",
				  path);
	return true;
}

char *registry_path_for(const char *name, GError **error)
{
	g_autoptr(GPtrArray) paths = candidates();
	g_autoptr(GError) why = NULL;

	for (guint i = 0; i < paths->len; i++) {
		const char *directory = g_ptr_array_index(paths, i);

		g_clear_error(&why);
		if (mkdir(directory, 0700) < 0 && errno != EEXIST)
			umbra_fail_errno(&why, errno, "directory %s cannot be made", directory);
		else if (check_directory(directory, &why))
			return g_strdup_printf("%s/%s" SUFFIX, directory, name);
	}
	g_propagate_error(error, g_steal_pointer(&why));
	return NULL;
}

char *registry_find(const char *name)
{
	g_autoptr(GPtrArray) paths = candidates();

	for (guint i = 0; i < paths->len; i++) {
		const char *directory = g_ptr_array_index(paths, i);
		g_autofree char *path = g_strdup_printf("%s/%s" SUFFIX, directory, name);
		struct stat status;

		if (check_directory(directory, NULL) && lstat(path, &status) == 0)
			return g_steal_pointer(&path);
	}
	return NULL;
}

static void entry_free(void *argument)
{
	RegistryEntry *entry = argument;

	g_free(entry->name);
	g_free(entry->path);
	g_free(entry);
}

static void list_directory(GPtrArray *entries, const char *directory)
{
	g_autoptr(GDir) files =
		check_directory(directory, NULL) ? g_dir_open(directory, 0, NULL) : NULL;
	const char *file;

	while (files && (file = g_dir_read_name(files)) != NULL) {
		if (!g_str_has_suffix(file, SUFFIX))
			continue;
		RegistryEntry *entry = g_new0(RegistryEntry, 1);

		entry->name = g_strndup(file, strlen(file) - strlen(SUFFIX));
		entry->path = g_build_filename(directory, file, NULL);
		g_ptr_array_add(entries, entry);
	}
}

static int by_name(const void *a, const void *b)
{
	const RegistryEntry *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

GPtrArray *registry_list(void)
{
	GPtrArray *entries = g_ptr_array_new_with_free_func(entry_free);
	g_autoptr(GPtrArray) paths = candidates();

	for (guint i = 0; i < paths->len; i++)
		list_directory(entries, g_ptr_array_index(paths, i));
	g_ptr_array_sort(entries, by_name);
	return entries;
}
