// SPDX-License-Identifier: MIT
/* What a QMP client may set for migrations, and how it is told how one stands: JSON as QEMU has it.
 */
#ifndef UMBRA_CONTROL_MIGRATION_SETTINGS_H
#define UMBRA_CONTROL_MIGRATION_SETTINGS_H

#include "base/json.h"
#include "control/qmp.h"
#include "migrate/progress.h"

typedef struct MigrationSettings {
	MigrateParameters parameters;
	char *tls;	    /* folder, or NULL */
	bool auto_converge; /* capabilities: slow the guest down, … */
	bool events;	    /* … tell status by MIGRATION, … */
	bool multifd;	    /* … parameters.channels connections, … */
	bool postcopy;	    /* … migrate-start-postcopy is to be possible */
} MigrationSettings;

void migration_settings_init(MigrationSettings *settings);
void migration_settings_finish(MigrationSettings *settings);

/* What a migration gets: capabilities that are off take their parameters along. */
MigrateParameters migration_settings_parameters(const MigrationSettings *settings);

#define MIGRATION_PARAMETER_ARGUMENTS                                                            \
	{                                                                                        \
		{"downtime-limit", json_type_int, true}, {"max-bandwidth", json_type_int, true}, \
			{"max-postcopy-bandwidth", json_type_int, true},                         \
			{"multifd-channels", json_type_int, true},                               \
			{"cpu-throttle-initial", json_type_int, true},                           \
			{"cpu-throttle-increment", json_type_int, true},                         \
			{"max-cpu-throttle", json_type_int, true},                               \
			{"x-umbra-patience", json_type_int, true},	 /* ms */                \
			{"x-umbra-postcopy-after", json_type_int, true}, /* rounds */            \
			{"tls-creds", json_type_string, true},                                   \
	}

/* All of them or none. UMBRA_ERROR_USAGE names the one that is out of range. */
bool migration_settings_set_parameters(MigrationSettings *settings, json_object *arguments,
				       GError **error);
json_object *migration_settings_parameters_json(const MigrationSettings *settings);

/* `list`: [{"capability": …, "state": …}]. */
bool migration_settings_set_capabilities(MigrationSettings *settings, json_object *list,
					 GError **error);
json_object *migration_settings_capabilities_json(const MigrationSettings *settings);

/* MigrationInfo, and by stage where the guest stood still ("x-umbra-downtime", µs). */
json_object *migration_progress_json(const MigrateProgress *progress);

#endif
