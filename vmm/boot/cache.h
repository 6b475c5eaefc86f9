// SPDX-License-Identifier: MIT
/*
 * Kernels unpacked before, in ${XDG_CACHE_HOME:-~/.cache}/umbra/kernels.
 *
 * An entry is named after its source's identity: device, inode, size, and the
 * times of the last change of content and of inode, to the nanosecond. A source
 * that was replaced or edited has another name; its old entry ages out, for only
 * the newest few are kept.
 *
 * Whoever can write an entry can choose the guest's kernel, so the folder and
 * the entry must be ours and closed to others. An entry ends in a trailer with
 * its length and a checksum of all its bytes: one cut short by a crash or a full
 * disk is not believed. The checksum is no defence against malice; the owner is.
 *
 * A cache that cannot be used is no error anywhere: it is silently no cache.
 */
#ifndef UMBRA_BOOT_CACHE_H
#define UMBRA_BOOT_CACHE_H

#include "boot/file.h"

#define CACHE_ENTRIES_MAX 4

/* The unpacked form of `source`, if there is one to believe. */
bool cache_find(const BootFile *source, BootFile *ret_file);

/* Keeps `unpacked`, which is in memory and padded to a page, as the unpacked form of `source`. */
void cache_store(const BootFile *source, const BootFile *unpacked);

#endif
