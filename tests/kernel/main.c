// SPDX-License-Identifier: MIT
/*
 * cet_kvm [--mainline] [COUNT]: KVM's interface to CET, as 6.18 and newer have it and
 * kernel/6.12 brings it. COUNT values for each register and feature set. With --mainline,
 * for a kernel that wants the legacy bitmap aligned to 16 KiB and misses some checks.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	tap_mainline = argc > 1 && !strcmp(argv[1], "--mainline");
	test_guests();
	test_interface(argc > 1 + tap_mainline ? (unsigned)atoi(argv[1 + tap_mainline]) : 300);
	return tap_end();
}
