// SPDX-License-Identifier: MIT
/* How fast all channels of a migration together may send. */
#ifndef UMBRA_MIGRATE_RATE_LIMIT_H
#define UMBRA_MIGRATE_RATE_LIMIT_H

#include "migrate/channel.h"

/* Waits until `bytes` may go; tells the peer meanwhile that it is alive. Fails with the channel. */
bool rate_limit_take(RateLimit *limit, uint64_t bytes, Channel *channel, GError **error);

#endif
