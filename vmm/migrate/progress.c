// SPDX-License-Identifier: MIT
#include "migrate/progress.h"

const char *migrate_status_name(MigrateStatus status)
{
	static const char *const names[] = {
		[MIGRATE_NONE] = "none",
		[MIGRATE_SETUP] = "setup",
		[MIGRATE_ACTIVE] = "active",
		[MIGRATE_DEVICE] = "device",
		[MIGRATE_POSTCOPY_ACTIVE] = "postcopy-active",
		[MIGRATE_POSTCOPY_PAUSED] = "postcopy-paused",
		[MIGRATE_POSTCOPY_RECOVER] = "postcopy-recover",
		[MIGRATE_CANCELLED] = "cancelled",
		[MIGRATE_COMPLETED] = "completed",
		[MIGRATE_FAILED] = "failed",
	};

	return names[status];
}
