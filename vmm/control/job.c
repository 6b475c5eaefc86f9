// SPDX-License-Identifier: MIT
#include "control/job.h"

#include "base/error.h"
#include "base/signals.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TELL_EVERY_MS 100

struct Job {
	ControlServer *server;
	const JobKind *kind; /* NULL: nothing runs */
	void *data;
	GThread *thread;
	int done_fd; /* an eventfd: the thread has done its work */
	guint done_watch;
	guint timer;
	void (*over)(void *owner); /* NULL: nobody waits for its end */
	void *over_owner;

	atomic_bool cancelled;
	_Atomic uint64_t done, total;
	/* The thread's, until it has been joined. */
	bool succeeded;
	GError *error;
};

static const char *const status_names[] = {
	[JOB_ACTIVE] = "active",
	[JOB_COMPLETED] = "completed",
	[JOB_FAILED] = "failed",
	[JOB_CANCELLED] = "cancelled",
};

static void tell(Job *job, JobStatus status)
{
	json_object *event = json_object_new_object();

	json_object_object_add(event, "status", json_object_new_string(status_names[status]));
	json_object_object_add(event, "done",
			       json_object_new_int64((int64_t)atomic_load(&job->done)));
	json_object_object_add(event, "total",
			       json_object_new_int64((int64_t)atomic_load(&job->total)));
	if (status == JOB_FAILED)
		json_object_object_add(event, "error", json_object_new_string(job->error->message));
	if (job->kind->describe)
		job->kind->describe(job->data, status, event);
	control_server_event(job->server, job->kind->event, event);
}

static gboolean on_timer(void *owner)
{
	tell(owner, JOB_ACTIVE);
	return G_SOURCE_CONTINUE;
}

static void *thread_main(void *owner)
{
	Job *job = owner;
	uint64_t one = 1;

	job->succeeded = job->kind->run(job, job->data, &job->error);
	while (write(job->done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	return NULL;
}

/* Waits for the thread, tells how the job ended, and empties the slot. */
static void reap(Job *job)
{
	g_thread_join(g_steal_pointer(&job->thread));
	JobStatus status = job->succeeded	   ? JOB_COMPLETED
			   : job_is_cancelled(job) ? JOB_CANCELLED
						   : JOB_FAILED;

	g_clear_handle_id(&job->timer, g_source_remove);
	g_clear_handle_id(&job->done_watch, g_source_remove);
	close(job->done_fd);
	if (job->kind->ended)
		job->kind->ended(job->data, status);
	tell(job, status);
	job->kind->free(job->data);
	g_clear_error(&job->error);
	job->kind = NULL;
	job->data = NULL;
	if (job->over)
		g_steal_pointer (&job->over)(job->over_owner);
}

static gboolean on_done(int fd, GIOCondition condition, void *owner)
{
	Job *job = owner;

	(void)fd, (void)condition;
	job->done_watch = 0;
	reap(job);
	return G_SOURCE_REMOVE;
}

static GThread *start_thread(Job *job, GError **error)
{
	sigset_t all, old;

	signals_for_thread(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	GThread *thread = g_thread_try_new("job", thread_main, job, error);

	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return thread;
}

static bool start(Job *job, GError **error)
{
	job->done_fd = eventfd(0, EFD_CLOEXEC);
	if (job->done_fd < 0)
		return umbra_fail_errno(error, errno, "%s: eventfd", job->kind->name);
	job->thread = start_thread(job, error);
	if (!job->thread) {
		close(job->done_fd);
		return false;
	}
	job->done_watch = g_unix_fd_add(job->done_fd, G_IO_IN, on_done, job);
	job->timer = g_timeout_add(TELL_EVERY_MS, on_timer, job);
	return true;
}

bool job_start(Job *job, const JobKind *kind, void *data, GError **error)
{
	if (!job_must_be_idle(job, error)) {
		kind->free(data);
		return false;
	}
	job->kind = kind;
	job->data = data;
	job->succeeded = false;
	atomic_store(&job->cancelled, false);
	atomic_store(&job->done, 0);
	atomic_store(&job->total, 0);
	if (start(job, error))
		return true;
	kind->free(data);
	job->kind = NULL;
	job->data = NULL;
	return false;
}

const JobKind *job_running(const Job *job)
{
	return job->kind;
}

bool job_must_be_idle(const Job *job, GError **error)
{
	return !job->kind || umbra_fail(error, UMBRA_ERROR_FAILED,
					"%s of this guest is under way: wait for its end, or "
					"cancel it",
					job->kind->name);
}

bool job_let_end(Job *job, GError **error)
{
	return !job->kind || !job->kind->let_end || job->kind->let_end(job->data, error);
}

void job_when_over(Job *job, void (*over)(void *owner), void *owner)
{
	job->over = over;
	job->over_owner = owner;
}

void job_cancel(Job *job)
{
	atomic_store(&job->cancelled, true);
	if (job->kind && job->kind->cancel)
		job->kind->cancel(job->data);
}

void job_stop(Job *job)
{
	if (!job->kind)
		return;
	job_cancel(job);
	if (job->kind->abandon)
		job->kind->abandon(job->data);
	reap(job);
}

bool job_is_cancelled(Job *job)
{
	return atomic_load(&job->cancelled);
}

void job_forget_cancel(Job *job)
{
	atomic_store(&job->cancelled, false);
}

void job_progress(Job *job, uint64_t done, uint64_t total)
{
	atomic_store(&job->done, done);
	atomic_store(&job->total, total);
}

Job *job_create(ControlServer *server)
{
	Job *job = g_new0(Job, 1);

	job->server = server;
	return job;
}

void job_destroy(Job *job)
{
	if (!job)
		return;
	job_stop(job);
	g_free(job);
}
