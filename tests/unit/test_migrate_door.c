// SPDX-License-Identifier: MIT
/* Who comes to a target: the one who speaks is heard, however many are silent before it. */
#include "migrate/door.h"

#include "base/error.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longer than a test may take: nobody is rescued by it. */
#define PATIENCE (3600 * 1000)

typedef struct Fixture {
	char *folder, *uri;
	Door *door;
} Fixture;

static Door *open_door(const char *uri, unsigned patience_ms)
{
	g_auto(Address) address = {0};

	g_assert_true(address_parse(uri, &address, NULL));
	return door_create(listener_create(&address, NULL, false, NULL), patience_ms);
}

static void set_up(Fixture *f, const void *unused)
{
	(void)unused;
	f->folder = g_dir_make_tmp("umbra-door-XXXXXX", NULL);
	f->uri = g_strdup_printf("unix:%s/socket", f->folder);
	f->door = open_door(f->uri, PATIENCE);
}

static void tear_down(Fixture *f, const void *unused)
{
	(void)unused;
	door_destroy(f->door);
	g_rmdir(f->folder);
	g_free(f->folder);
	g_free(f->uri);
}

static int come(const Fixture *f)
{
	g_auto(Address) address = {0};

	g_assert_true(address_parse(f->uri, &address, NULL));
	int fd = address_connect(&address, NULL, PATIENCE, NULL);

	g_assert_cmpint(fd, >=, 0);
	return fd;
}

/* Somebody who says `type`. */
static Channel *come_and_say(const Fixture *f, MessageType type)
{
	Channel *channel = channel_create(come(f), PATIENCE, NULL);

	g_assert_true(channel_send(channel, type, "abc", 3, NULL));
	return channel;
}

static void assert_heard(Fixture *f, MessageType type)
{
	g_autoptr(GError) error = NULL;
	Message message;
	bool go_on;
	g_autoptr(Channel) channel = door_greet(f->door, -1, &message, &go_on, &error);

	g_assert_no_error(error);
	g_assert_nonnull(channel);
	g_assert_true(go_on);
	g_assert_cmpint(message.type, ==, type);
	g_assert_cmpmem(message.payload, message.size, "abc", 3);
}

/* Returns when somebody came and was not understood. */
static void assert_turned_away(Fixture *f, const char *text)
{
	g_autoptr(GError) error = NULL;
	Message message;
	bool go_on;

	g_assert_null(door_greet(f->door, -1, &message, &go_on, &error));
	g_assert_true(go_on);
	g_assert_nonnull(error);
	g_assert_nonnull(strstr(error->message, text));
}

static void assert_nobody(Fixture *f, int patience_ms, const char *text)
{
	g_autoptr(GError) error = NULL;
	Message message;
	bool go_on;

	g_assert_null(door_greet(f->door, patience_ms, &message, &go_on, &error));
	g_assert_false(go_on);
	g_assert_nonnull(error);
	g_assert_nonnull(strstr(error->message, text));
}

static void test_silence_hinders_nobody(Fixture *f, const void *unused)
{
	int silent = come(f);
	char byte;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		Channel *one = come_and_say(f, MESSAGE_WHO);
		Channel *other = come_and_say(f, MESSAGE_WHO);

		assert_heard(f, MESSAGE_WHO);
		assert_heard(f, MESSAGE_WHO);
		channel_destroy(one);
		channel_destroy(other);
	}
	/* And is not ended by it. */
	g_assert_cmpint(recv(silent, &byte, 1, MSG_DONTWAIT), ==, -1);
	g_autoptr(Channel) late = channel_create(silent, PATIENCE, NULL);

	g_assert_true(channel_send(late, MESSAGE_HELLO, "abc", 3, NULL));
	assert_heard(f, MESSAGE_HELLO);
}

/* The one who came first has had the most time. */
static void test_too_many(Fixture *f, const void *unused)
{
	int silent[DOOR_NEWCOMERS_MAX + 1];
	char byte;

	(void)unused;
	for (unsigned i = 0; i <= DOOR_NEWCOMERS_MAX; i++)
		silent[i] = come(f);
	assert_turned_away(f, "said nothing while others came");
	g_assert_cmpint(recv(silent[0], &byte, 1, 0), ==, 0);
	for (unsigned i = 1; i <= DOOR_NEWCOMERS_MAX; i++)
		g_assert_cmpint(recv(silent[i], &byte, 1, MSG_DONTWAIT), ==, -1);
	g_autoptr(Channel) late = channel_create(silent[1], PATIENCE, NULL);

	g_assert_true(channel_send(late, MESSAGE_HELLO, "abc", 3, NULL));
	assert_heard(f, MESSAGE_HELLO);
	for (unsigned i = 0; i <= DOOR_NEWCOMERS_MAX; i++)
		if (i != 1)
			close(silent[i]);
}

static void test_nonsense(Fixture *f, const void *unused)
{
	int fd = come(f);
	char header[48] = "GET / HTTP/1.1";

	(void)unused;
	g_assert_cmpint(send(fd, header, sizeof(header), 0), ==, sizeof(header));
	assert_turned_away(f, "does not speak umbra's migration protocol");
	close(fd);
	close(come(f));
	assert_turned_away(f, "closed");
	Channel *channel = come_and_say(f, MESSAGE_HELLO);

	assert_heard(f, MESSAGE_HELLO);
	channel_destroy(channel);
}

static void test_silent_for_too_long(Fixture *f, const void *unused)
{
	(void)unused;
	door_destroy(f->door);
	f->door = open_door(f->uri, 1);
	int fd = come(f);

	assert_turned_away(f, "silent");
	close(fd);
}

static void test_nobody_comes(Fixture *f, const void *unused)
{
	(void)unused;
	assert_nobody(f, 0, "nobody connects");
	int fd = come(f);

	/* Who is silent is nobody, too. */
	assert_nobody(f, 20, "nobody connects");
	close(fd);
	assert_turned_away(f, "closed");
}

static void *cancel(void *door)
{
	door_cancel(door);
	return NULL;
}

static void test_cancelled(Fixture *f, const void *unused)
{
	int fd = come(f);

	(void)unused;
	GThread *thread = g_thread_new("cancel", cancel, f->door);
	g_autoptr(GError) error = NULL;
	Message message;
	bool go_on = true;

	/* The silent one may have been let in before. */
	while (go_on) {
		g_clear_error(&error);
		g_assert_null(door_greet(f->door, -1, &message, &go_on, &error));
	}
	g_thread_join(thread);
	g_assert_cmpstr(error->message, ==, "cancelled");
	close(fd);
}

/* An fd: that is a connection already. */
static void test_one_connection_only(Fixture *f, const void *unused)
{
	int pair[2];

	(void)unused;
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
	g_autofree char *uri = g_strdup_printf("fd:%d", pair[0]);

	door_destroy(f->door);
	f->door = open_door(uri, PATIENCE);
	close(pair[0]);
	/* As long as it is silent, nobody else can come. */
	assert_nobody(f, 20, "nobody connects");
	g_autoptr(Channel) channel = channel_create(pair[1], PATIENCE, NULL);

	g_assert_true(channel_send(channel, MESSAGE_HELLO, "abc", 3, NULL));
	assert_heard(f, MESSAGE_HELLO);
	assert_nobody(f, -1, "one connection only");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(Fixture *f, const void *unused);
	} tests[] = {
		{"/migrate/door/silence", test_silence_hinders_nobody},
		{"/migrate/door/too-many", test_too_many},
		{"/migrate/door/nonsense", test_nonsense},
		{"/migrate/door/too-long", test_silent_for_too_long},
		{"/migrate/door/nobody", test_nobody_comes},
		{"/migrate/door/cancelled", test_cancelled},
		{"/migrate/door/one-connection", test_one_connection_only},
	};

	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
	return g_test_run();
}
