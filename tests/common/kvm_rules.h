// SPDX-License-Identifier: MIT
/*
 * The kernels of kernel/ differ from mainline where that is wrong. What each of them is made to do
 * stands here by name, and the library has to find it out: --kvm NAME.
 */
#ifndef UMBRA_TESTS_KVM_RULES_H
#define UMBRA_TESTS_KVM_RULES_H

#include "umbra/cet_cpu.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The traits of the kernel of this name; false if there is none. */
static inline bool kvm_rules_find(const char *name, uint32_t *ret_traits)
{
	static const struct {
		const char *name;
		uint32_t traits;
	} kernels[] = {
		{"mainline", 0},
		{"fixed", CET_TRAIT_REFUSES_BITMAP}, /* kernel/7.3 */
		{"series", CET_TRAIT_REFUSES_BITMAP | CET_TRAIT_ANY_BITMAP |
				   CET_TRAIT_REFUSES_CET_WITHOUT_WP}, /* kernel/6.12 */
	};

	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
		if (strcmp(kernels[i].name, name) == 0) {
			*ret_traits = kernels[i].traits;
			return true;
		}
	return false;
}

#endif
