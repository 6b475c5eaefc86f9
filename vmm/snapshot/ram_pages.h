// SPDX-License-Identifier: MIT
#ifndef UMBRA_SNAPSHOT_RAM_PAGES_H
#define UMBRA_SNAPSHOT_RAM_PAGES_H

#include "snapshot/snapshot_file.h"

/* A bit for each page that the newest file which knows it stores; the others are zero. g_free. */
uint64_t *ram_pages(const GPtrArray *chain, uint64_t ram_size, GError **error);

#endif
