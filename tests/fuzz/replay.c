// SPDX-License-Identifier: MIT
/* replay FOLDER: runs the target over each file in it, and over each file's every prefix. */
#include "fuzz.h"

#include <glib.h>
#include <stdbool.h>

static bool replay(const char *path)
{
	g_autofree char *bytes = NULL;
	gsize size;

	if (!g_file_get_contents(path, &bytes, &size, NULL))
		return false;
	for (gsize n = 0; n <= size; n++) {
		/* Exactly as long as it is, so that a sanitizer sees what reads behind it. */
		g_autofree uint8_t *copy = g_memdup2(bytes, n);

		LLVMFuzzerTestOneInput(copy, n);
	}
	return true;
}

int main(int argc, char **argv)
{
	g_autoptr(GDir) folder = argc == 2 ? g_dir_open(argv[1], 0, NULL) : NULL;
	const char *name;
	unsigned n = 0;

	if (!folder) {
		g_printerr("usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	while ((name = g_dir_read_name(folder))) {
		g_autofree char *path = g_build_filename(argv[1], name, NULL);

		if (!replay(path)) {
			g_printerr("cannot read '%s'\n", path);
			return 2;
		}
		n++;
	}
	g_print("%u files replayed\n", n);
	/* A test that found nothing to do has not been one. */
	return n > 0 ? 0 : 2;
}
