// SPDX-License-Identifier: MIT
#include "migrate/address.h"

#include "base/error.h"
#include "base/parse.h"

#include <limits.h>
#include <string.h>

static bool parse_host_port(const char *kind, const char *text, Address *address, GError **error)
{
	const char *colon = strrchr(text, ':');
	g_autofree char *what = g_strdup_printf("%s: port", address->text);
	uint64_t port;

	if (!colon || colon == text || !colon[1])
		return umbra_fail(error, UMBRA_ERROR_USAGE, "'%s:%s': give %s:HOST:PORT", kind,
				  text, kind);
	if (!parse_uint(what, colon + 1, 0, 65535, &port, error))
		return false;
	/* An IPv6 address stands in brackets, as in URIs. */
	if (text[0] == '[' && colon[-1] == ']')
		address->host = g_strndup(text + 1, (gsize)(colon - text) - 2);
	else
		address->host = g_strndup(text, (gsize)(colon - text));
	address->port = g_strdup(colon + 1);
	return true;
}

static bool parse_rest(const char *rest, Address *address, GError **error)
{
	uint64_t fd;

	switch (address->kind) {
	case ADDRESS_UNIX:
		address->path = g_strdup(rest);
		return rest[0] || umbra_fail(error, UMBRA_ERROR_USAGE, "'unix:': give unix:PATH");
	case ADDRESS_TCP:
		return parse_host_port("tcp", rest, address, error);
	case ADDRESS_TLS:
		return parse_host_port("tls", rest, address, error);
	case ADDRESS_FD:
		if (!parse_uint("fd", rest, 0, INT_MAX, &fd, error))
			return false;
		address->fd = (int)fd;
		return true;
	}
	g_assert_not_reached();
}

bool address_parse(const char *text, Address *ret_address, GError **error)
{
	static const char *const prefixes[] = {
		[ADDRESS_UNIX] = "unix:",
		[ADDRESS_TCP] = "tcp:",
		[ADDRESS_TLS] = "tls:",
		[ADDRESS_FD] = "fd:",
	};

	*ret_address = (Address){.fd = -1};
	for (unsigned i = 0; i < G_N_ELEMENTS(prefixes); i++) {
		if (!g_str_has_prefix(text, prefixes[i]))
			continue;
		ret_address->kind = i;
		ret_address->text = g_strdup(text);
		if (parse_rest(text + strlen(prefixes[i]), ret_address, error))
			return true;
		address_finish(ret_address);
		return false;
	}
	return umbra_fail(error, UMBRA_ERROR_USAGE,
			  "'%s' is none of unix:PATH, tcp:HOST:PORT, tls:HOST:PORT, fd:N", text);
}

void address_finish(Address *address)
{
	g_clear_pointer(&address->text, g_free);
	g_clear_pointer(&address->path, g_free);
	g_clear_pointer(&address->host, g_free);
	g_clear_pointer(&address->port, g_free);
}

bool address_fits_tls(const Address *address, const char *tls, GError **error)
{
	return !tls || address->kind == ADDRESS_TLS ||
	       umbra_fail(error, UMBRA_ERROR_USAGE,
			  "%s: certificates are given (--tls; tls-creds in QMP), and nothing is "
			  "encrypted there: use tls:HOST:PORT, or leave them out",
			  address->text);
}

bool address_is_reusable(const Address *address)
{
	return address->kind != ADDRESS_FD;
}
