// SPDX-License-Identifier: MIT
#include "migrate/address.h"
#include "migrate/owner.h"

#include "base/error.h"

#include <string.h>
#include <unistd.h>

static const uint8_t session[SESSION_SIZE] = "0123456789abcde";

static void test_first_claim_wins(void)
{
	static const OwnerSide sides[] = {OWNER_SOURCE, OWNER_TARGET};

	for (unsigned i = 0; i < G_N_ELEMENTS(sides); i++) {
		OwnerTicket ticket;
		g_autoptr(Owner) source = owner_create(session, &ticket, NULL);
		g_autoptr(Owner) target = owner_open(session, &ticket);

		g_assert_nonnull(target);
		g_assert_true(owner_claim(sides[i] == OWNER_SOURCE ? source : target, sides[i]));
		g_assert_true(owner_claim(source, OWNER_SOURCE) == (sides[i] == OWNER_SOURCE));
		g_assert_true(owner_claim(target, OWNER_TARGET) == (sides[i] == OWNER_TARGET));
		g_assert_true(owner_claim(source, OWNER_SOURCE) == (sides[i] == OWNER_SOURCE));
	}
}

typedef struct Racer {
	Owner *owner;
	OwnerSide side;
	bool won;
} Racer;

static void *race(void *argument)
{
	Racer *racer = argument;

	racer->won = owner_claim(racer->owner, racer->side);
	return NULL;
}

static void test_never_both_and_never_none(void)
{
	for (unsigned i = 0; i < 2000; i++) {
		OwnerTicket ticket;
		g_autoptr(Owner) source = owner_create(session, &ticket, NULL);
		g_autoptr(Owner) target = owner_open(session, &ticket);
		Racer a = {source, OWNER_SOURCE, false}, b = {target, OWNER_TARGET, false};
		GThread *thread = g_thread_new("race", race, &a);

		race(&b);
		g_thread_join(thread);
		g_assert_true(a.won != b.won);
	}
}

/* Whatever a peer claims, nothing of this process is opened but such a word. */
static void test_tickets_are_not_trusted(void)
{
	OwnerTicket ticket, other;
	g_autoptr(Owner) source = owner_create(session, &ticket, NULL);
	g_assert_nonnull(source);
	uint8_t another[SESSION_SIZE] = {0};

	g_assert_null(owner_open(another, &ticket));
	other = ticket;
	other.boot_id[0] ^= 1;
	g_assert_null(owner_open(session, &other));
	other = ticket;
	other.pid_namespace++;
	g_assert_null(owner_open(session, &other));
	other = ticket;
	other.fd = STDIN_FILENO;
	g_assert_null(owner_open(session, &other));
	other = ticket;
	other.fd = UINT32_MAX;
	g_assert_null(owner_open(session, &other));
	other = ticket;
	other.pid = 1;
	g_assert_null(owner_open(session, &other));
	memset(&other, 0, sizeof(other));
	g_assert_null(owner_open(session, &other));
	memset(&other, 0xff, sizeof(other));
	g_assert_null(owner_open(session, &other));
}

static void test_addresses(void)
{
	static const char *const bad[] = {"",	       "unix:",	   "tcp:",	    "tcp:host",
					  "tcp::1",    "tcp:h:",   "tcp:h:65536",   "tcp:h:http",
					  "fd:",       "fd:-1",	   "fd:x",	    "exec:cat",
					  "/tmp/sock", "tls:host", "fd:99999999999"};
	g_auto(Address) address = {0};

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_false(address_parse(bad[i], &address, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_USAGE);
	}
	g_assert_true(address_parse("tcp:[::1]:4444", &address, NULL));
	g_assert_cmpstr(address.host, ==, "::1");
	g_assert_cmpstr(address.port, ==, "4444");
	address_finish(&address);
	g_assert_true(address_parse("unix:a:b", &address, NULL));
	g_assert_cmpstr(address.path, ==, "a:b");
}

/* Whoever reaches the port could become the guest. */
static void test_plain_tcp_stays_at_home(void)
{
	static const char *const remote[] = {"tcp:0.0.0.0:0", "tcp:[::]:0"};
	g_autoptr(Listener) listener = NULL;
	g_auto(Address) address = {0};

	for (unsigned i = 0; i < G_N_ELEMENTS(remote); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_true(address_parse(remote[i], &address, NULL));
		g_assert_null(listener_create(&address, NULL, false, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_USAGE);
		address_finish(&address);
	}
	g_assert_true(address_parse("tcp:127.0.0.1:0", &address, NULL));
	listener = listener_create(&address, NULL, false, NULL);
	g_assert_nonnull(listener);
	g_assert_cmpuint(listener_port(listener), >, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/migrate/owner/first", test_first_claim_wins);
	g_test_add_func("/migrate/owner/race", test_never_both_and_never_none);
	g_test_add_func("/migrate/owner/tickets", test_tickets_are_not_trusted);
	g_test_add_func("/migrate/address/parse", test_addresses);
	g_test_add_func("/migrate/address/loopback", test_plain_tcp_stays_at_home);
	return g_test_run();
}
