// SPDX-License-Identifier: MIT
#include "cli/host_file.h"

#include "base/error.h"
#include "inspect/host_text.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* All of a file, but never more than a description can have. */
static bool read_file(const char *option, const char *path, GString *ret_text, GError **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : 1;
	char bytes[16384];

	while (n > 0 && ret_text->len <= HOST_JSON_MAX) {
		n = read(fd, bytes, sizeof(bytes));
		if (n > 0)
			g_string_append_len(ret_text, bytes, n);
	}
	int failed = errno;

	if (fd >= 0)
		close(fd);
	return n >= 0 || umbra_fail_errno(error, failed, "%s: cannot read %s", option, path);
}

bool host_file_read(const char *option, const char *path, HostInfo *ret_info, GError **error)
{
	g_autoptr(GString) text = g_string_new(NULL);

	if (!read_file(option, path, text, error))
		return false;
	if (host_info_from_json(text->str, text->len, ret_info, error))
		return true;
	g_prefix_error(error, "%s: %s: ", option, path);
	return false;
}
