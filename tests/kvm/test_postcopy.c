// SPDX-License-Identifier: MIT
/*
 * Guests that move before all of their RAM has. Beside the tests, the program is one of the
 * two sides, to be killed: "source URI" and "target URI".
 */
#include "trip.h"

#include "base/error.h"
#include "kvm/kvm.h"
#include "migrate/channel.h"
#include "migrate/hello.h"
#include "migrate/postcopy_target.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Where writer's commands with the digit 0 write: see tests/guests/writer.c. */
#define WRITER_PAGE(i) (8192UL + 3 * (i))
#define WRITER_PAGES   64u

/* What the guest says if nothing happens to it, reckoned without it. */
static char *expected_of_work(void)
{
	g_autofree char *program = g_build_filename(g_getenv("UMBRA_SAVE_LOAD"), "expect", NULL);
	char *argv[] = {program, (char *)"work", NULL}, *output = NULL;
	g_autoptr(GError) error = NULL;

	g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, &output, NULL, NULL, &error);
	g_assert_no_error(error);
	g_assert_true(g_str_has_suffix(output, "work: done\n"));
	return output;
}

/* Until the guest has waited for so many pages: before, it may not have run there at all. */
static void await_requests(const Trip *trip, unsigned n)
{
	int64_t until = g_get_monotonic_time() + DEADLINE;

	for (;;) {
		g_auto(MigrateProgress) progress = {0};

		migrate_source_query(trip->source, &progress);
		if (progress.postcopy_requests >= n)
			return;
		g_assert_cmpint(g_get_monotonic_time(), <, until);
		g_usleep(1000);
	}
}

static void work_arrives(uint64_t bandwidth, unsigned cuts)
{
	g_autofree char *expected = expected_of_work();
	g_auto(MigrateProgress) progress = {0};
	Trip trip;

	trip_init(&trip, "work");
	/* It comes to its end there, and not before it is sent. */
	trip.mute_after = "round 3 ";
	trip_listen(&trip);
	trip_boot(&trip);
	AWAIT(&trip, strstr(trip.said->str, trip.mute_after));
	trip_send(&trip, bandwidth);
	for (unsigned i = 0; i < cuts; i++) {
		await_requests(&trip, i + 1);
		trip_cut(&trip);
		if (i + 1 == cuts)
			trip_hurry(&trip);
		trip_resume(&trip);
	}
	trip_arrived(&trip, &progress);
	AWAIT(&trip, trip.ended);
	g_assert_cmpstr(trip.said->str, ==, expected);
	g_assert_cmpuint(progress.postcopy_requests, >=, cuts);
	trip_finish(&trip);
}

static void test_work(void)
{
	work_arrives(0, 0);
}

/* The guest is at work on pages that are not there whenever the connection breaks. */
static void test_work_with_cuts(void)
{
	work_arrives(CRAWL, 6);
}

static void say_to(Machine *machine, const char *text)
{
	for (size_t sent = 0, length = strlen(text); sent < length;) {
		io_bus_lock(machine_bus(machine));
		sent += serial_receive(machine_console(machine), (const uint8_t *)text + sent,
				       length - sent);
		io_bus_unlock(machine_bus(machine));
	}
}

static unsigned answers(const Trip *trip)
{
	unsigned n = 0;

	for (const char *at = trip->said->str; (at = strstr(at, "wrote")); at++)
		n++;
	return n;
}

/* A writer that wrote its pages once, and now runs at the target without any of its RAM. */
static void move_writer(Trip *trip)
{
	trip_init(trip, "writer");
	trip_listen(trip);
	trip_boot(trip);
	AWAIT(trip, answers(trip) == 1);
	say_to(trip->from, "s0");
	AWAIT(trip, answers(trip) == 2);
	trip_send(trip, CRAWL);
	AWAIT(trip, trip->source_is == MIGRATE_POSTCOPY_ACTIVE && trip->to);
}

/* Each page of the writer's counts what was written to it. */
static void assert_counts(const Trip *trip, uint64_t expected)
{
	for (unsigned i = 0; i < WRITER_PAGES; i++) {
		uint64_t count;

		g_assert_true(guest_memory_read(machine_memory(trip->to), WRITER_PAGE(i) * 4096,
						&count, sizeof(count)));
		g_assert_cmpuint(count, ==, expected);
	}
}

/* While the connection is broken, an instruction of ring 0 waits for a page inside of KVM. */
static void test_ring0_waits(void)
{
	g_auto(MigrateProgress) progress = {0};
	Trip trip;

	move_writer(&trip);
	trip_cut(&trip);
	say_to(trip.to, "s0");
	trip_resume(&trip);
	AWAIT(&trip, answers(&trip) == 3);
	trip_cut(&trip);
	trip_hurry(&trip);
	trip_resume(&trip);
	trip_arrived(&trip, &progress);
	assert_counts(&trip, 2);
	trip_finish(&trip);
}

/* The same in ring 3, where KVM can be called away: held and let go, it must not notice. */
static void test_ring3_waits(void)
{
	g_auto(MigrateProgress) progress = {0};
	Trip trip;

	move_writer(&trip);
	say_to(trip.to, "u1");
	AWAIT(&trip, answers(&trip) == 3);
	trip_cut(&trip);
	say_to(trip.to, "u0");
	for (unsigned i = 0; i < 1000; i++) {
		g_assert_true(machine_hold(trip.to));
		machine_release(trip.to);
	}
	g_assert_cmpuint(answers(&trip), ==, 3);
	trip_hurry(&trip);
	trip_resume(&trip);
	AWAIT(&trip, answers(&trip) == 4);
	trip_arrived(&trip, &progress);
	assert_counts(&trip, 2);
	trip_finish(&trip);
}

/* A guest that ends needs no more pages, and the source need not wait. */
static void test_end_before_all_is_here(void)
{
	Trip trip;

	move_writer(&trip);
	say_to(trip.to, "q");
	AWAIT(&trip, trip.ended);
	g_clear_pointer(&trip.target, migrate_target_destroy);
	AWAIT(&trip, trip.over);
	g_assert_true(trip.result);
	trip_finish(&trip);
}

/* Umbra's own threads wait like the guest. */
static void test_reading_waits(void)
{
	g_auto(MigrateProgress) progress = {0};
	uint64_t count;
	Trip trip;

	move_writer(&trip);
	g_assert_true(guest_memory_read(machine_memory(trip.to), WRITER_PAGE(7) * 4096, &count,
					sizeof(count)));
	g_assert_cmpuint(count, ==, 1);
	trip_hurry(&trip);
	trip_arrived(&trip, &progress);
	trip_finish(&trip);
}

/* What would need all of RAM is refused, and works as soon as all is there. */
static void test_refused_meanwhile(void)
{
	MigrateSourceConfig config = {.uri = "unix:/nowhere", .parameters = trip_parameters(0)};
	g_autoptr(GError) no_save = NULL, no_migration = NULL;
	g_auto(MigrateProgress) progress = {0};
	g_autoptr(MachineState) state = NULL;
	Trip trip;

	move_writer(&trip);
	g_assert_true(machine_hold(trip.to));
	g_assert_null(machine_save(trip.to, &no_save));
	g_assert_nonnull(strstr(no_save->message, "under way"));
	g_assert_null(migrate_source_create(trip.to, &config, &no_migration));
	g_assert_nonnull(strstr(no_migration->message, "under way"));
	machine_release(trip.to);
	trip_hurry(&trip);
	trip_arrived(&trip, &progress);
	g_assert_true(machine_hold(trip.to));
	state = machine_save(trip.to, NULL);
	g_assert_nonnull(state);
	machine_release(trip.to);
	trip_finish(&trip);
}

/* Once the target has the guest, nobody takes it back. */
static void test_cancel_is_too_late(void)
{
	g_auto(MigrateProgress) progress = {0};
	Trip trip;

	move_writer(&trip);
	migrate_source_cancel(trip.source);
	trip_hurry(&trip);
	trip_arrived(&trip, &progress);
	g_assert_false(machine_resume(trip.from));
	say_to(trip.to, "q");
	AWAIT(&trip, trip.ended);
	trip_finish(&trip);
}

/* Who says something else than the source would, on a new connection. */
static void knock(const Trip *trip, MessageType type, const void *payload, size_t size,
		  const char *answer)
{
	g_auto(Address) address = {0};
	g_autoptr(GError) error = NULL;
	Message message;

	g_assert_true(address_parse(trip->uri, &address, NULL));
	g_autoptr(Channel) channel =
		channel_create(address_connect(&address, NULL, PATIENCE, NULL), PATIENCE, NULL);

	g_assert_true(channel_send(channel, type, payload, size, NULL));
	g_assert_false(channel_receive(channel, &message, &error));
	g_assert_nonnull(strstr(error->message, answer));
}

static void test_strangers_at_the_door(void)
{
	static const Resume other = {.session = "somebody else's"};
	g_auto(MigrateProgress) progress = {0};
	Trip trip;

	move_writer(&trip);
	trip_cut(&trip);
	knock(&trip, MESSAGE_RESUME, &other, sizeof(other), "another migration's guest");
	knock(&trip, MESSAGE_RESUME, &other, 3, "another migration's guest");
	knock(&trip, MESSAGE_HELLO, "hello", 5, "HELLO came");
	knock(&trip, MESSAGE_GO, NULL, 0, "GO came");
	trip_resume(&trip);
	trip_hurry(&trip);
	trip_arrived(&trip, &progress);
	trip_finish(&trip);
}

/* One side in a process of its own, which lives until it is killed. */
static GPid spawn_side(const char *side, const char *uri)
{
	char *argv[] = {(char *)"/proc/self/exe", (char *)side, (char *)uri, NULL};
	g_autoptr(GError) error = NULL;
	GPid pid;

	g_spawn_async(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, &error);
	g_assert_no_error(error);
	return pid;
}

G_NORETURN static void be_a_side(const char *side, const char *uri)
{
	Trip trip;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	trip_init(&trip, "writer");
	trip.uri = g_strdup(uri);
	if (strcmp(side, "source") == 0) {
		trip_boot(&trip);
		AWAIT(&trip, answers(&trip) == 1);
		trip_send(&trip, CRAWL);
	} else {
		trip_listen(&trip);
	}
	for (;;)
		pause();
}

/* The guest is lost: what it misses is nowhere. It waits until it is ended. */
static void test_killed_source(void)
{
	Trip trip;
	GPid pid;

	trip_init(&trip, "writer");
	trip_listen(&trip);
	pid = spawn_side("source", trip.uri);
	AWAIT(&trip, trip.to != NULL);
	kill(pid, SIGKILL);
	AWAIT(&trip, trip.target_is == MIGRATE_POSTCOPY_PAUSED);
	g_assert_nonnull(strstr(trip.why, "the guest waits for pages"));
	say_to(trip.to, "s0");
	machine_stop(trip.to);
	g_assert_cmpuint(answers(&trip), ==, 0);
	trip_finish(&trip);
	g_spawn_close_pid(pid);
}

/* A socket has its name before somebody listens there. */
static bool somebody_listens(const char *path)
{
	g_autofree char *text = NULL;

	g_assert_true(g_file_get_contents("/proc/net/unix", &text, NULL, NULL));
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (char **line = lines; *line; line++) {
		unsigned long flags;

		if (g_str_has_suffix(*line, path) && sscanf(*line, "%*s %*s %*s %lx", &flags) == 1)
			return flags & 0x10000; /* __SO_ACCEPTCON (include/linux/net.h) */
	}
	return false;
}

static void await_listener(const char *path)
{
	int64_t until = g_get_monotonic_time() + DEADLINE;

	while (!somebody_listens(path)) {
		g_assert_cmpint(g_get_monotonic_time(), <, until);
		g_usleep(1000);
	}
}

/* The guest is lost with the process that had it; the source waits for its user's word. */
static void test_killed_target(void)
{
	g_auto(MigrateProgress) progress = {0};
	g_autofree char *path = NULL;
	Trip trip;
	GPid pid;

	trip_init(&trip, "writer");
	path = g_strdup(trip.uri + strlen("unix:"));
	pid = spawn_side("target", trip.uri);
	trip_boot(&trip);
	AWAIT(&trip, answers(&trip) == 1);
	await_listener(path);
	trip_send(&trip, CRAWL);
	AWAIT(&trip, trip.source_is == MIGRATE_POSTCOPY_ACTIVE);
	kill(pid, SIGKILL);
	AWAIT(&trip, trip.source_is == MIGRATE_POSTCOPY_PAUSED);
	g_unlink(path);
	trip_resume(&trip);
	AWAIT(&trip, trip.recoveries == 1 && trip.source_is == MIGRATE_POSTCOPY_PAUSED);
	migrate_source_query(trip.source, &progress);
	g_assert_nonnull(strstr(progress.error, "socket"));
	g_assert_false(machine_resume(trip.from));
	migrate_source_abandon(trip.source);
	AWAIT(&trip, trip.over);
	g_assert_false(trip.result);
	g_assert_nonnull(strstr(trip.error->message, "the guest there cannot go on"));
	trip_finish(&trip);
	g_spawn_close_pid(pid);
}

int main(int argc, char **argv)
{
	g_autoptr(GError) refused = NULL;
	g_autofree char *why = NULL;

	if (argc == 3 && argv[1][0] != '-')
		be_a_side(argv[1], argv[2]);
	if (access(KVM_DEFAULT_PATH, R_OK | W_OK) < 0)
		why = g_strdup_printf(KVM_DEFAULT_PATH ": %s", g_strerror(errno));
	else if (!postcopy_check(&refused))
		why = g_strdup(refused->message);
	if (why) {
		g_print("1..0 # SKIP %s\n", why);
		return 0;
	}
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/postcopy/work", test_work);
	g_test_add_func("/postcopy/cuts", test_work_with_cuts);
	g_test_add_func("/postcopy/ring0", test_ring0_waits);
	g_test_add_func("/postcopy/ring3", test_ring3_waits);
	g_test_add_func("/postcopy/end", test_end_before_all_is_here);
	g_test_add_func("/postcopy/reading-waits", test_reading_waits);
	g_test_add_func("/postcopy/refused-meanwhile", test_refused_meanwhile);
	g_test_add_func("/postcopy/cancel-is-too-late", test_cancel_is_too_late);
	g_test_add_func("/postcopy/strangers", test_strangers_at_the_door);
	g_test_add_func("/postcopy/killed-source", test_killed_source);
	g_test_add_func("/postcopy/killed-target", test_killed_target);
	return g_test_run();
}
