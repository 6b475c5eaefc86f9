// SPDX-License-Identifier: MIT
/* What `umbra host --json` printed on another host, in a file that the user names. */
#ifndef UMBRA_CLI_HOST_FILE_H
#define UMBRA_CLI_HOST_FILE_H

#include "state/host_info.h"

/*
 * `option`, which names the file, begins the message of an error. *ret_info is to be finished in
 * any case.
 */
bool host_file_read(const char *option, const char *path, HostInfo *ret_info, GError **error);

#endif
