// SPDX-License-Identifier: MIT
/*
 * Memory whose missing pages are somebody's to bring: userfaultfd(2), for anonymous
 * private memory. Whoever touches such a page waits in the kernel until it is placed,
 * KVM inside of KVM_RUN included. One error each, decides nothing.
 */
#ifndef UMBRA_MIGRATE_USERFAULT_H
#define UMBRA_MIGRATE_USERFAULT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Userfault Userfault;

/* UMBRA_ERROR_UNSUPPORTED: this process may not have it, and what would help. */
Userfault *userfault_create(GError **error);
/* Who still waits for a page goes on, and finds zeros. Accepts NULL. */
void userfault_destroy(Userfault *fault);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Userfault, userfault_destroy)

/*
 * From now on pages of [start, start + length) that are not there are waited for. Must be
 * page-aligned. Registered first and discarded after, no page comes back by itself in
 * between, as a part of a huge one, say.
 */
bool userfault_register(Userfault *fault, void *start, size_t length, GError **error);
/* Who still waits there goes on, and finds zeros. */
bool userfault_unregister(Userfault *fault, void *start, size_t length, GError **error);

/*
 * Waits until somebody waits; gives the addresses touched, rounded down to pages, at
 * most `n_max`. False without *error: userfault_cancel().
 */
bool userfault_wait(Userfault *fault, uint64_t *ret_addresses, unsigned n_max, unsigned *ret_n,
		    GError **error);
/* From any thread, once and for all. */
void userfault_cancel(Userfault *fault);

/*
 * Puts pages where none are, all of each at once, and wakes who waits for them. `from`: NULL for
 * zeros. *ret_done: bytes placed, after an error too. A page that is there already is
 * an error: it cannot be the right one.
 */
bool userfault_place(Userfault *fault, void *to, const void *from, size_t length, size_t *ret_done,
		     GError **error);
/*
 * Zeros, unless the page is there already. If there is no memory to be had, who waits
 * wakes and waits again.
 */
void userfault_fill(Userfault *fault, void *page);

#endif
