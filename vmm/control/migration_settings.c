// SPDX-License-Identifier: MIT
#include "control/migration_settings.h"

#include "base/error.h"

#include <stddef.h>
#include <string.h>

#define CHANNELS_LIMIT	     16
#define DOWNTIME_LIMIT	     (2000 * 1000) /* ms, as QEMU */
#define PATIENCE_LIMIT	     (24 * 3600 * 1000)
#define POSTCOPY_AFTER_LIMIT 1000

void migration_settings_init(MigrationSettings *settings)
{
	*settings = (MigrationSettings){
		.parameters = MIGRATE_PARAMETERS_DEFAULT,
		.auto_converge = true,
	};
	settings->parameters.channels = 2;
}

void migration_settings_finish(MigrationSettings *settings)
{
	g_clear_pointer(&settings->tls, g_free);
}

MigrateParameters migration_settings_parameters(const MigrationSettings *settings)
{
	MigrateParameters parameters = settings->parameters;

	if (!settings->multifd)
		parameters.channels = 1;
	if (!settings->auto_converge)
		parameters.throttle_max = 0;
	return parameters;
}

/* The numbers among the parameters. */
static const struct {
	const char *name;
	size_t offset;
	bool is_wide; /* uint64_t, else unsigned */
	int64_t min, max;
} numbers[] = {
	{"downtime-limit", offsetof(MigrateParameters, downtime_limit_ms), true, 0, DOWNTIME_LIMIT},
	{"max-bandwidth", offsetof(MigrateParameters, max_bandwidth), true, 0, INT64_MAX},
	{"max-postcopy-bandwidth", offsetof(MigrateParameters, postcopy_bandwidth), true, 0,
	 INT64_MAX},
	{"x-umbra-postcopy-after", offsetof(MigrateParameters, postcopy_after), false, 0,
	 POSTCOPY_AFTER_LIMIT},
	{"multifd-channels", offsetof(MigrateParameters, channels), false, 1, CHANNELS_LIMIT},
	{"cpu-throttle-initial", offsetof(MigrateParameters, throttle_initial), false, 1, 99},
	{"cpu-throttle-increment", offsetof(MigrateParameters, throttle_increment), false, 1, 99},
	{"max-cpu-throttle", offsetof(MigrateParameters, throttle_max), false, 1, 99},
	{"x-umbra-patience", offsetof(MigrateParameters, patience_ms), false, 1000, PATIENCE_LIMIT},
};

bool migration_settings_set_parameters(MigrationSettings *settings, json_object *arguments,
				       GError **error)
{
	MigrateParameters parameters = settings->parameters;
	json_object *tls = json_object_object_get(arguments, "tls-creds");

	for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
		json_object *argument = json_object_object_get(arguments, numbers[i].name);
		void *to = (char *)&parameters + numbers[i].offset;
		int64_t value = json_object_get_int64(argument);

		if (!argument)
			continue;
		if (value < numbers[i].min || value > numbers[i].max)
			return umbra_fail(error, UMBRA_ERROR_USAGE,
					  "%s: %ld is out of range: %ld to %ld", numbers[i].name,
					  value, numbers[i].min, numbers[i].max);
		if (numbers[i].is_wide)
			*(uint64_t *)to = (uint64_t)value;
		else
			*(unsigned *)to = (unsigned)value;
	}
	settings->parameters = parameters;
	if (tls) {
		const char *folder = json_object_get_string(tls);

		g_free(settings->tls);
		settings->tls = folder[0] ? g_strdup(folder) : NULL;
	}
	return true;
}

json_object *migration_settings_parameters_json(const MigrationSettings *settings)
{
	json_object *object = json_object_new_object();

	for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
		const void *from = (const char *)&settings->parameters + numbers[i].offset;
		uint64_t value =
			numbers[i].is_wide ? *(const uint64_t *)from : *(const unsigned *)from;

		json_object_object_add(object, numbers[i].name,
				       json_object_new_int64((int64_t)value));
	}
	json_object_object_add(object, "tls-creds",
			       json_object_new_string(settings->tls ? settings->tls : ""));
	return object;
}

/* "zero-blocks" and the like ask for what is always so. */
static const struct {
	const char *name;
	size_t offset;
} capabilities[] = {
	{"auto-converge", offsetof(MigrationSettings, auto_converge)},
	{"events", offsetof(MigrationSettings, events)},
	{"multifd", offsetof(MigrationSettings, multifd)},
	{"postcopy-ram", offsetof(MigrationSettings, postcopy)},
};

static bool set_capability(MigrationSettings *settings, json_object *entry, GError **error)
{
	json_object *name = json_object_object_get(entry, "capability");
	json_object *state = json_object_object_get(entry, "state");

	if (!json_object_is_type(name, json_type_string) ||
	    !json_object_is_type(state, json_type_boolean))
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "capabilities: each entry has \"capability\" and \"state\"");
	for (size_t i = 0; i < G_N_ELEMENTS(capabilities); i++)
		if (strcmp(json_object_get_string(name), capabilities[i].name) == 0) {
			*(bool *)((char *)settings + capabilities[i].offset) =
				json_object_get_boolean(state);
			return true;
		}
	/* Turning off what is not there is what cautious clients do. */
	return !json_object_get_boolean(state) ||
	       umbra_fail(error, UMBRA_ERROR_USAGE, "capability '%s' is not there",
			  json_object_get_string(name));
}

bool migration_settings_set_capabilities(MigrationSettings *settings, json_object *list,
					 GError **error)
{
	MigrationSettings changed = *settings;

	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (!set_capability(&changed, json_object_array_get_idx(list, i), error))
			return false;
	*settings = changed;
	return true;
}

json_object *migration_settings_capabilities_json(const MigrationSettings *settings)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < G_N_ELEMENTS(capabilities); i++) {
		json_object *entry = json_object_new_object();
		bool state = *(const bool *)((const char *)settings + capabilities[i].offset);

		json_object_object_add(entry, "capability",
				       json_object_new_string(capabilities[i].name));
		json_object_object_add(entry, "state", json_object_new_boolean(state));
		json_object_array_add(list, entry);
	}
	return list;
}

static void add(json_object *to, const char *name, uint64_t value)
{
	json_object_object_add(to, name, json_object_new_int64((int64_t)value));
}

static json_object *ram_json(const MigrateProgress *progress)
{
	json_object *ram = json_object_new_object();

	add(ram, "transferred", progress->transferred);
	add(ram, "remaining", progress->remaining);
	add(ram, "total", progress->total);
	add(ram, "duplicate", progress->zero_pages);
	add(ram, "skipped", 0);
	add(ram, "normal", progress->normal_pages);
	add(ram, "normal-bytes", progress->normal_pages * 4096);
	add(ram, "dirty-pages-rate", progress->dirty_pages_rate);
	json_object_object_add(ram, "mbps",
			       json_object_new_double((double)progress->bandwidth * 8 / 1e6));
	add(ram, "dirty-sync-count", progress->rounds);
	add(ram, "page-size", 4096);
	add(ram, "postcopy-requests", progress->postcopy_requests);
	add(ram, "postcopy-bytes", progress->postcopy_pages * 4096);
	return ram;
}

static json_object *downtime_json(const MigrateDowntime *downtime)
{
	json_object *object = json_object_new_object();
	uint64_t vcpus = downtime->state + downtime->load;

	add(object, "stop", downtime->stop);
	add(object, "pages", downtime->pages);
	add(object, "state", downtime->state);
	add(object, "load", downtime->load);
	add(object, "start", downtime->start);
	add(object, "devices", downtime->devices);
	add(object, "vcpus", vcpus > downtime->devices ? vcpus - downtime->devices : 0);
	add(object, "total", downtime->total);
	return object;
}

json_object *migration_progress_json(const MigrateProgress *progress)
{
	json_object *object = json_object_new_object();

	if (progress->status == MIGRATE_NONE)
		return object;
	json_object_object_add(object, "status",
			       json_object_new_string(migrate_status_name(progress->status)));
	json_object_object_add(object, "ram", ram_json(progress));
	add(object, "total-time", progress->total_us / 1000);
	add(object, "setup-time", progress->setup_us / 1000);
	if (progress->status == MIGRATE_ACTIVE)
		add(object, "expected-downtime", progress->expected_downtime_ms);
	if (progress->throttle > 0)
		add(object, "cpu-throttle-percentage", progress->throttle);
	if (progress->downtime.total > 0) {
		add(object, "downtime", (progress->downtime.total + 999) / 1000);
		json_object_object_add(object, "x-umbra-downtime",
				       downtime_json(&progress->downtime));
	}
	if (progress->incompatible)
		json_object_object_add(object, "x-umbra-incompatible",
				       json_object_new_boolean(true));
	if (progress->error)
		json_object_object_add(object, "error-desc",
				       json_object_new_string(progress->error));
	return object;
}
