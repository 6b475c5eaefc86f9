// SPDX-License-Identifier: MIT
/* The slot for long work: its thread, its events, and what it keeps others from doing. */
#include "control/job.h"

#include "base/error.h"
#include "control/guest.h"
#include "control/inspect.h"
#include "control_fixture.h"
#include "fake_machine.h"

/* Work that goes on until it is told how to end, or cancelled. */
typedef struct Work {
	GMutex lock;
	GCond changed;
	bool told, fails, ignores_cancel;
	unsigned *frees;
	JobStatus *status;
} Work;

typedef struct Fixture {
	Machine machine;
	ControlGuest guest;
	Work work;
	unsigned frees;
	unsigned quits, overs;
	JobStatus status;
	int client, other;
} Fixture;

static bool run_work(Job *job, void *data, GError **error)
{
	Work *work = data;

	job_progress(job, 4096, 1UL << 40);
	g_mutex_lock(&work->lock);
	while (!work->told) {
		g_cond_wait_until(&work->changed, &work->lock, g_get_monotonic_time() + 1000);
		if (job_is_cancelled(job) && !work->ignores_cancel)
			break;
	}
	bool done = work->told && !work->fails;

	g_mutex_unlock(&work->lock);
	return done || umbra_fail(error, UMBRA_ERROR_FAILED, "so it was to be");
}

static void work_ended(void *data, JobStatus status)
{
	Work *work = data;

	*work->status = status;
}

static void work_free(void *data)
{
	Work *work = data;

	++*work->frees;
}

static void describe_work(void *data, JobStatus status, json_object *event)
{
	(void)data;
	if (status == JOB_COMPLETED)
		json_object_object_add(event, "result", json_object_new_int(7));
}

/* Work whose loss counts. */
static bool let_work_end(void *data, GError **error)
{
	(void)data;
	return umbra_fail(error, UMBRA_ERROR_FAILED, "it would be lost");
}

static const JobKind precious = {
	.name = "a test",
	.event = "X_TEST",
	.run = run_work,
	.ended = work_ended,
	.let_end = let_work_end,
	.free = work_free,
};

static const JobKind kind = {
	.name = "a test",
	.event = "X_TEST",
	.describe = describe_work,
	.run = run_work,
	.ended = work_ended,
	.free = work_free,
};

static void tell(Fixture *f, bool fails)
{
	g_mutex_lock(&f->work.lock);
	f->work.told = true;
	f->work.fails = fails;
	g_cond_broadcast(&f->work.changed);
	g_mutex_unlock(&f->work.lock);
}

static void begin(Fixture *f)
{
	g_autoptr(GError) error = NULL;

	f->work.told = false;
	job_start(f->guest.job, &kind, &f->work, &error);
	g_assert_no_error(error);
	g_assert_true(job_running(f->guest.job) == &kind);
}

static void count_quit(void *owner)
{
	Fixture *f = owner;

	f->quits++;
}

static void count_over(void *owner)
{
	Fixture *f = owner;

	f->overs++;
}

static void set_up(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine = (Machine){.running = true, .cpus = 1};
	f->guest = (ControlGuest){.server = control_server_create(),
				  .machine = &f->machine,
				  .quit = count_quit,
				  .owner = f};
	f->guest.job = job_create(f->guest.server);
	f->work = (Work){.frees = &f->frees, .status = &f->status};
	control_guest_attach(&f->guest);
	control_inspect_attach(&f->guest);
	f->client = negotiated_client(f->guest.server);
	f->other = negotiated_client(f->guest.server);
}

static void tear_down(Fixture *f, const void *unused)
{
	(void)unused;
	job_destroy(f->guest.job);
	control_server_destroy(f->guest.server);
	close(f->client);
	close(f->other);
}

/* The next event of the client, its data; the main loop runs until it is there. */
static json_object *next_event(int client)
{
	char line[1024];
	size_t length = 0;

	while (length < sizeof(line) - 1 && !(length > 0 && line[length - 1] == '\n')) {
		ssize_t n = recv(client, line + length, 1, 0);

		if (n == 1)
			length++;
		else
			g_main_context_iteration(NULL, TRUE);
	}
	line[length] = 0;
	g_autoptr(json_object) event = json_tokener_parse(line);

	g_assert_cmpstr(json_object_get_string(json_object_object_get(event, "event")), ==,
			"X_TEST");
	return json_object_get(json_object_object_get(event, "data"));
}

static const char *string_of(json_object *event, const char *name)
{
	return json_object_get_string(json_object_object_get(event, name));
}

static int64_t number_of(json_object *event, const char *name)
{
	return json_object_get_int64(json_object_object_get(event, name));
}

/* Skips those from before the work's thread came to run: the totals are its second word. */
static json_object *first_progress(int client)
{
	for (;;) {
		json_object *event = next_event(client);

		if (number_of(event, "total") != 0)
			return event;
		json_object_put(event);
	}
}

/* Skips what tells only that it goes on. */
static json_object *last_event(int client)
{
	for (;;) {
		json_object *event = next_event(client);

		if (strcmp(string_of(event, "status"), "active") != 0)
			return event;
		json_object_put(event);
	}
}

static void test_completes(Fixture *f, const void *unused)
{
	(void)unused;
	begin(f);
	g_autoptr(json_object) active = first_progress(f->client);

	g_assert_cmpstr(string_of(active, "status"), ==, "active");
	g_assert_cmpint(number_of(active, "done"), ==, 4096);
	g_assert_cmpint(number_of(active, "total"), ==, 1L << 40);
	g_assert_null(json_object_object_get(active, "result"));
	tell(f, false);
	g_autoptr(json_object) done = last_event(f->client);

	g_assert_cmpstr(string_of(done, "status"), ==, "completed");
	g_assert_cmpstr(string_of(done, "result"), ==, "7");
	g_assert_null(job_running(f->guest.job));
	g_assert_cmpuint(f->frees, ==, 1);
	g_assert_cmpint(f->status, ==, JOB_COMPLETED);
	g_autoptr(json_object) other = last_event(f->other);

	g_assert_cmpstr(string_of(other, "status"), ==, "completed");
}

static void test_fails(Fixture *f, const void *unused)
{
	(void)unused;
	begin(f);
	tell(f, true);
	g_autoptr(json_object) failed = last_event(f->client);

	g_assert_cmpstr(string_of(failed, "status"), ==, "failed");
	g_assert_cmpstr(string_of(failed, "error"), ==, "so it was to be");
	/* The slot is free again. */
	begin(f);
	tell(f, false);
	g_autoptr(json_object) done = last_event(f->client);

	g_assert_cmpstr(string_of(done, "status"), ==, "completed");
	g_assert_cmpuint(f->frees, ==, 2);
}

static void test_is_cancelled(Fixture *f, const void *unused)
{
	(void)unused;
	begin(f);
	job_cancel(f->guest.job);
	g_autoptr(json_object) cancelled = last_event(f->client);

	g_assert_cmpstr(string_of(cancelled, "status"), ==, "cancelled");
	g_assert_null(json_object_object_get(cancelled, "error"));
	/* Too late: what was done is done. */
	f->work.ignores_cancel = true;
	begin(f);
	job_cancel(f->guest.job);
	tell(f, false);
	g_autoptr(json_object) done = last_event(f->client);

	g_assert_cmpstr(string_of(done, "status"), ==, "completed");
}

/* Who asks is refused, who insists is not, and who waits is told when it is over. */
static void test_would_be_lost(Fixture *f, const void *unused)
{
	(void)unused;
	g_assert_true(job_let_end(f->guest.job, NULL));
	g_assert_true(job_start(f->guest.job, &precious, &f->work, NULL));
	for (unsigned i = 0; i < 2; i++)
		assert_answer(f->client, "{\"execute\":\"quit\"}",
			      GENERIC_ERROR("not ended: it would be lost"));
	g_assert_cmpuint(f->quits, ==, 0);
	assert_answer(f->client, "{\"execute\":\"quit\",\"arguments\":{\"x-umbra-force\":true}}",
		      "{\"return\":{}}");
	g_assert_cmpuint(f->quits, ==, 1);
	job_when_over(f->guest.job, count_over, f);
	g_assert_cmpuint(f->overs, ==, 0);
	tell(f, false);
	g_autoptr(json_object) done = last_event(f->client);

	g_assert_cmpstr(string_of(done, "status"), ==, "completed");
	g_assert_cmpuint(f->overs, ==, 1);
	assert_answer(f->client, "{\"execute\":\"quit\"}", "{\"return\":{}}");
	g_assert_cmpuint(f->quits, ==, 2);
}

#define BUSY "a test of this guest is under way: wait for its end, or cancel it"

static void test_keeps_others_away(Fixture *f, const void *unused)
{
	g_autoptr(GError) error = NULL;
	unsigned frees = 0;
	Work second = {.frees = &frees};

	(void)unused;
	begin(f);
	g_assert_false(job_start(f->guest.job, &kind, &second, &error));
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_FAILED);
	g_assert_cmpstr(error->message, ==, BUSY);
	g_assert_cmpuint(frees, ==, 1);
	assert_answer(f->other, "{\"execute\":\"stop\"}", GENERIC_ERROR(BUSY));
	assert_answer(f->other, "{\"execute\":\"cont\"}", GENERIC_ERROR(BUSY));
	assert_answer(f->other, "{\"execute\":\"x-umbra-set\",\"arguments\":{\"values\":{}}}",
		      GENERIC_ERROR(BUSY));
	g_assert_true(f->machine.running);
	/* Whoever merely asks gets an answer. */
	assert_answer(f->other, "{\"execute\":\"query-status\"}",
		      "{\"return\":{\"status\":\"running\",\"running\":true}}");
	tell(f, false);
	json_object_put(last_event(f->client));
	g_autofree char *rest = receive(f->other);

	(void)rest;
	assert_answer(f->other, "{\"execute\":\"cont\"}", "{\"return\":{}}");
}

static void test_stopped_with_the_guest(Fixture *f, const void *unused)
{
	(void)unused;
	job_stop(f->guest.job);
	begin(f);
	job_stop(f->guest.job);
	g_assert_cmpint(f->status, ==, JOB_CANCELLED);
	g_assert_cmpuint(f->frees, ==, 1);
	g_autoptr(json_object) cancelled = last_event(f->client);

	g_assert_cmpstr(string_of(cancelled, "status"), ==, "cancelled");
	/* The thread is done, and the main loop has not heard of it yet. */
	f->work.ignores_cancel = true;
	begin(f);
	tell(f, false);
	job_stop(f->guest.job);
	g_assert_cmpint(f->status, ==, JOB_COMPLETED);
	settle();
	g_assert_cmpuint(f->frees, ==, 2);
}

#define add(name, function) \
	g_test_add("/control/job/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("completes", test_completes);
	add("fails", test_fails);
	add("is_cancelled", test_is_cancelled);
	add("would_be_lost", test_would_be_lost);
	add("keeps_others_away", test_keeps_others_away);
	add("stopped_with_the_guest", test_stopped_with_the_guest);
	return g_test_run();
}
