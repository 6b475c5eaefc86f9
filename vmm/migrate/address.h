// SPDX-License-Identifier: MIT
/* Where the other side of a migration is: unix:PATH, tcp:HOST:PORT, tls:HOST:PORT, fd:N. */
#ifndef UMBRA_MIGRATE_ADDRESS_H
#define UMBRA_MIGRATE_ADDRESS_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef enum AddressKind {
	ADDRESS_UNIX,
	ADDRESS_TCP,
	ADDRESS_TLS,
	ADDRESS_FD,
} AddressKind;

typedef struct Address {
	AddressKind kind;
	char *text; /* as given */
	char *path; /* unix */
	char *host, *port;
	int fd;
} Address;

/* UMBRA_ERROR_USAGE says what is wrong with it. */
bool address_parse(const char *text, Address *ret_address, GError **error);
void address_finish(Address *address);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Address, address_finish)

/*
 * Whoever gives certificates (`tls`, else NULL) believes that what goes over is encrypted: false,
 * with UMBRA_ERROR_USAGE, if it would not be.
 */
bool address_fits_tls(const Address *address, const char *tls, GError **error);

/* May more than one connection be made to it? */
bool address_is_reusable(const Address *address);

/*
 * A connected stream socket, -1 on error. `tls` is the folder with certificates
 * (docs/tls.md), needed for tls: only. For fd: the descriptor itself, once.
 */
int address_connect(const Address *address, const char *tls, unsigned patience_ms, GError **error);

typedef struct Listener Listener;

/*
 * Listens. Plain tcp: is refused beyond loopback unless `allow_remote`: whoever
 * reaches the port could become the guest. An fd: may be a listening socket or a
 * connected one.
 */
Listener *listener_create(const Address *address, const char *tls, bool allow_remote,
			  GError **error);
void listener_destroy(Listener *listener);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listener, listener_destroy)

/*
 * Waits for the next connection. -1 with *ret_go_on: there is something to read from `wake_fd`
 * (-1: none). -1 without it, and with *error: nobody will come any more, also after
 * listener_cancel() or, with `patience_ms` >= 0, so much time.
 */
int listener_accept(Listener *listener, int wake_fd, int patience_ms, bool *ret_go_on,
		    GError **error);
/*
 * For tls:, speaks it with who came, for some seconds at most; takes over `fd`, and gives what
 * carries plain bytes. -1 with *error: they do not know how, or have no right. From any thread.
 */
int listener_secure(const Listener *listener, int fd, GError **error);
/* From any thread. */
void listener_cancel(Listener *listener);
/* Can more than one connection come? */
bool listener_is_reusable(const Listener *listener);
/* The port that a tcp: or tls: with port 0 got, else 0. */
unsigned listener_port(const Listener *listener);

#endif
