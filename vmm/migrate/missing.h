// SPDX-License-Identifier: MIT
/* Takes pages out of guest memory, so that they are waited for. */
#ifndef UMBRA_MIGRATE_MISSING_H
#define UMBRA_MIGRATE_MISSING_H

#include "migrate/pages.h"
#include "migrate/userfault.h"

/*
 * What stood in the set pages of `missing` is discarded; who touches them, or some of
 * those around that nobody ever touched, waits from now on.
 */
bool missing_make(Userfault *fault, const PageSpace *space, const uint64_t *missing,
		  GError **error);

#endif
