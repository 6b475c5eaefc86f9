// SPDX-License-Identifier: MIT
/*
 * Work on a guest that takes longer than an answer may: a snapshot, a migration. There
 * is one slot, and so one job at a time. It runs in a thread of its own; the main loop
 * tells all clients how far it is, some ten times per second, and how it ended. A job
 * belongs to the guest, not to the client that started it.
 */
#ifndef UMBRA_CONTROL_JOB_H
#define UMBRA_CONTROL_JOB_H

#include "control/server.h"

typedef struct Job Job;

typedef enum JobStatus {
	JOB_ACTIVE,
	JOB_COMPLETED,
	JOB_FAILED,
	JOB_CANCELLED,
} JobStatus;

typedef struct JobKind {
	const char *name;  /* as refusals have it: "a snapshot" */
	const char *event; /* sent to clients: {"status", "done", "total", "error"} and … */
	/* … what this adds, in the main loop. May be NULL. */
	void (*describe)(void *data, JobStatus status, json_object *event);
	/*
	 * The work, in the job's thread. False with *error, or because of job_is_cancelled():
	 * either way nothing is left behind.
	 */
	bool (*run)(Job *job, void *data, GError **error);
	/* For work that waits: called after job_is_cancelled() has become true. May be NULL. */
	void (*cancel)(void *data);
	/*
	 * The guest's process is to end. False: something would be lost that nobody has but
	 * this process. True: it cannot come to that any more. May be NULL.
	 */
	bool (*let_end)(void *data, GError **error);
	/* After `cancel`, when it must end whatever that costs: for job_stop(). May be NULL. */
	void (*abandon)(void *data);
	/* In the main loop, before the last event, when the thread is gone. */
	void (*ended)(void *data, JobStatus status);
	void (*free)(void *data);
} JobKind;

/* The slot, empty. Events go to `server`, which must outlive it. */
Job *job_create(ControlServer *server);
/* As job_stop(). Accepts NULL. */
void job_destroy(Job *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_destroy)

/* Takes over `data`, after a failure too. UMBRA_ERROR_FAILED names the job that has the slot. */
bool job_start(Job *job, const JobKind *kind, void *data, GError **error);

/* The kind that runs, or NULL. */
const JobKind *job_running(const Job *job);
/* False, with an error that names the job: for commands that must not come in between. */
bool job_must_be_idle(const Job *job, GError **error);

/* The process is to end. False, and why: it must not, unless somebody insists. */
bool job_let_end(Job *job, GError **error);
/* Calls `over`, in the main loop, when the job that runs has ended. Once; for one caller. */
void job_when_over(Job *job, void (*over)(void *owner), void *owner);

/* Asks the job to give up; it tells when it has. */
void job_cancel(Job *job);
/* Cancels it, waits until it has ended and tells clients. For the end of the guest. */
void job_stop(Job *job);

/* For the job's thread. Both are cheap; done and total in bytes. */
bool job_is_cancelled(Job *job);
/* What it fails with now is news, whether it was cancelled or not. */
void job_forget_cancel(Job *job);
void job_progress(Job *job, uint64_t done, uint64_t total);

#endif
