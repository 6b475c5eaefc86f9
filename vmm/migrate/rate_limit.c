// SPDX-License-Identifier: MIT
#include "migrate/rate_limit.h"

#include "base/error.h"

/* A sender waits no longer than this at a time, so that it notices changes. */
#define SLICE_US (50 * 1000)
/* So often a peer that waits for the next message is told that there is one to come. */
#define ALIVE_US (1000 * 1000)

struct RateLimit {
	GMutex lock;
	uint64_t bytes_per_second; /* 0: none */
	int64_t free_at;	   /* monotonic µs when the next byte may go */
};

RateLimit *rate_limit_create(void)
{
	RateLimit *limit = g_new0(RateLimit, 1);

	g_mutex_init(&limit->lock);
	return limit;
}

void rate_limit_destroy(RateLimit *limit)
{
	if (!limit)
		return;
	g_mutex_clear(&limit->lock);
	g_free(limit);
}

void rate_limit_set(RateLimit *limit, uint64_t bytes_per_second)
{
	g_mutex_lock(&limit->lock);
	limit->bytes_per_second = bytes_per_second;
	limit->free_at = 0;
	g_mutex_unlock(&limit->lock);
}

/* Microseconds until `bytes` may go; 0: they are booked. */
static int64_t book(RateLimit *limit, uint64_t bytes)
{
	int64_t now = g_get_monotonic_time(), wait = 0;

	g_mutex_lock(&limit->lock);
	if (limit->bytes_per_second > 0) {
		wait = MAX(limit->free_at - now, 0);
		if (wait == 0)
			limit->free_at = MAX(limit->free_at, now) +
					 (int64_t)((double)bytes * G_USEC_PER_SEC /
						   (double)limit->bytes_per_second);
	}
	g_mutex_unlock(&limit->lock);
	return wait;
}

bool rate_limit_take(RateLimit *limit, uint64_t bytes, Channel *channel, GError **error)
{
	int64_t alive_at = g_get_monotonic_time() + ALIVE_US;

	for (;;) {
		int64_t wait = book(limit, bytes);

		if (wait == 0)
			return true;
		if (channel_is_cancelled(channel))
			return umbra_fail(error, UMBRA_ERROR_FAILED, "cancelled");
		g_usleep((gulong)MIN(wait, SLICE_US));
		if (g_get_monotonic_time() < alive_at)
			continue;
		if (!channel_send(channel, MESSAGE_ALIVE, NULL, 0, error))
			return false;
		alive_at += ALIVE_US;
	}
}
