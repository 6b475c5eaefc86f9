// SPDX-License-Identifier: MIT
#include "cli/incoming.h"

#include "base/error.h"
#include "cli/cli.h"
#include "control/incoming.h"
#include "migrate/target.h"

#include <string.h>

struct Incoming {
	Session *session;
	const RunOptions *options;
	MachineSink machine_sink;
	ControlIncoming control;
	MigrateTarget *target; /* NULL: nobody said yet where to listen */
	/* Set by the target's thread, before it wakes the session. One of the two. */
	Machine *_Atomic machine;
	GError *_Atomic error;
};

/* In the target's thread. */
static void refused(void *owner, const GError *error)
{
	(void)owner;
	cli_warn("a guest was turned away: %s", error->message);
}

static void started(void *owner, Machine *machine)
{
	Incoming *incoming = owner;

	incoming->machine = machine;
	session_wake(incoming->session);
}

static void failed(void *owner, const GError *error)
{
	Incoming *incoming = owner;

	incoming->error = g_error_copy(error);
	session_wake(incoming->session);
}

/* In the main loop. */
static gboolean tell_arrival(void *owner)
{
	const Incoming *incoming = owner;
	ControlMigration *migration = session_control(incoming->session)->migration;

	if (migration)
		control_migration_arrival_changed(migration);
	return G_SOURCE_REMOVE;
}

/* In the target's thread. */
static void following(void *owner, MigrateStatus status, const GError *why)
{
	if (why)
		cli_warn("%s", why->message);
	else if (status == MIGRATE_POSTCOPY_ACTIVE)
		cli_warn("the migration goes on");
	g_idle_add(tell_arrival, owner);
}

void incoming_query(void *owner, MigrateProgress *ret_progress)
{
	const Incoming *incoming = owner;

	migrate_target_query(incoming->target, ret_progress);
}

static bool start_listening(void *owner, const char *uri, GError **error)
{
	Incoming *incoming = owner;
	const RunOptions *options = incoming->options;
	MigrateTargetConfig config = {
		.uri = uri,
		.tls = options->tls,
		.allow_remote = options->allow_remote,
		.patience_ms = options->patience_ms,
		.machine = &options->config,
		.machine_sink = &incoming->machine_sink,
		.sink = {.refused = refused,
			 .started = started,
			 .failed = failed,
			 .owner = incoming,
			 .following = following},
	};

	if (incoming->target)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "this process listens already");
	incoming->target = migrate_target_start(&config, error);
	if (incoming->target && migrate_target_port(incoming->target) > 0)
		cli_warn("listening on port %u", migrate_target_port(incoming->target));
	return incoming->target != NULL;
}

static MigrateStatus status(void *owner)
{
	const Incoming *incoming = owner;

	return incoming->target ? migrate_target_status(incoming->target) : MIGRATE_NONE;
}

static void quit(void *owner)
{
	const Incoming *incoming = owner;

	session_quit(incoming->session);
}

Incoming *incoming_wait(Session *session, const RunOptions *options, Machine **ret_machine,
			GError **error)
{
	g_autoptr(Incoming) incoming = g_new0(Incoming, 1);

	*ret_machine = NULL;
	incoming->session = session;
	incoming->options = options;
	incoming->machine_sink = session_sink(session);
	if (!session_open(session, &options->session, error))
		return NULL;
	incoming->control = (ControlIncoming){
		.server = session_control(session)->server,
		.name = session_control(session)->guest.name,
		.status = status,
		.listen = start_listening,
		.quit = quit,
		.owner = incoming,
	};
	control_incoming_attach(&incoming->control);
	bool listens = strcmp(options->incoming, "defer") == 0 ||
		       start_listening(incoming, options->incoming, error);

	/* A guest may come to its end before this thread hears that it is here. */
	while (listens && !session_is_stopped(session) && !incoming->machine && !incoming->error)
		session_wait(session);
	control_incoming_detach(&incoming->control);
	if (incoming->error)
		g_propagate_prefixed_error(error, g_error_copy(incoming->error),
					   "the guest did not arrive, and is where it was: ");
	if (!listens || (error && *error))
		return NULL;
	*ret_machine = incoming->machine;
	return g_steal_pointer(&incoming);
}

void incoming_destroy(Incoming *incoming)
{
	if (!incoming)
		return;
	migrate_target_destroy(incoming->target);
	while (g_idle_remove_by_data(incoming))
		;
	if (incoming->error)
		g_error_free(incoming->error);
	g_free(incoming);
}
