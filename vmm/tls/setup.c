// SPDX-License-Identifier: MIT
#include "tls/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATUS_TROUBLE 2

struct Setup {
	int plain;
	char *peer;
	_Atomic(const char *) doing;
	_Atomic bool said; /* who sets it says the word; the watch has the other reference */
	gatomicrefcount references;
};

static void setup_unref(Setup *setup)
{
	if (!g_atomic_ref_count_dec(&setup->references))
		return;
	g_free(setup->peer);
	g_free(setup);
}

static void say(const char *word)
{
	/* Whoever does not read it any more is told nothing: no word is lost by this. */
	(void)!write(STDOUT_FILENO, word, strlen(word));
}

void setup_print_error(const char *message)
{
	g_autofree char *line = g_strdup_printf("error: %s", message);

	/* One line, and nothing that a terminal would act on. */
	for (char *c = line; *c; c++)
		if (g_ascii_iscntrl(*c))
			*c = ' ';
	g_autofree char *whole = g_strconcat(line, "\n", NULL);

	say(whole);
}

static gpointer watch(gpointer data)
{
	Setup *setup = data;
	struct pollfd caller = {.fd = setup->plain}; /* POLLHUP and POLLERR come unasked */
	const gint64 deadline = g_get_monotonic_time() + SETUP_SECONDS * G_USEC_PER_SEC;
	int ready = 0;

	do {
		gint64 left = (deadline - g_get_monotonic_time()) / 1000;

		ready = poll(&caller, 1, (int)MAX(left, 0));
	} while (ready < 0 && errno == EINTR);
	if (!atomic_exchange(&setup->said, true)) {
		if (ready == 0) {
			g_autofree char *message =
				g_strdup_printf("%s: no answer in %d seconds while %s", setup->peer,
						SETUP_SECONDS, atomic_load(&setup->doing));

			setup_print_error(message);
		}
		_exit(STATUS_TROUBLE);
	}
	setup_unref(setup);
	return NULL;
}

Setup *setup_start(int plain, const char *peer)
{
	Setup *setup = g_new0(Setup, 1);

	setup->plain = plain;
	setup->peer = g_strdup(peer);
	atomic_init(&setup->doing, "starting");
	g_atomic_ref_count_init(&setup->references);
	g_atomic_ref_count_inc(&setup->references);
	g_thread_unref(g_thread_new("setup-watch", watch, setup));
	return setup;
}

void setup_doing(Setup *setup, const char *doing)
{
	atomic_store(&setup->doing, doing);
}

/* The word belongs to the watch: it ends the process as soon as it has said it. */
G_NORETURN static void wait_for_the_end(void)
{
	for (;;)
		pause();
}

void setup_done(Setup *setup)
{
	if (atomic_exchange(&setup->said, true))
		wait_for_the_end();
	say("ok\n");
	/* The reader sees the end; and nothing that a library prints comes after the word. */
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
		close(null);
	}
	setup_unref(setup);
}

void setup_failed(Setup *setup, const GError *error)
{
	if (atomic_exchange(&setup->said, true))
		wait_for_the_end();
	setup_print_error(error->message);
	_exit(STATUS_TROUBLE);
}
