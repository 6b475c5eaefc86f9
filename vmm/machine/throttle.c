// SPDX-License-Identifier: MIT
#include "machine/throttle.h"

#include "machine/internal.h"

/* Long against the cost of a stop, short against what a person notices. */
#define PERIOD_US (10 * 1000)

struct Throttle {
	Machine *machine;
	GThread *thread;
	GMutex lock;
	GCond changed;
	unsigned percent; /* 0: end */
};

/* Sleeps, unless the throttle changes meanwhile. */
static void rest(Throttle *throttle, int64_t duration)
{
	int64_t until = g_get_monotonic_time() + duration;
	unsigned percent = throttle->percent;

	while (throttle->percent == percent &&
	       g_cond_wait_until(&throttle->changed, &throttle->lock, until))
		;
}

static void *throttle_thread(void *argument)
{
	Throttle *throttle = argument;
	bool alive = true;

	g_mutex_lock(&throttle->lock);
	while (alive && throttle->percent > 0) {
		int64_t still = PERIOD_US * throttle->percent / 100;

		alive = machine_hold(throttle->machine);
		if (!alive)
			break;
		rest(throttle, still);
		machine_release(throttle->machine);
		rest(throttle, PERIOD_US - still);
	}
	g_mutex_unlock(&throttle->lock);
	return NULL;
}

void machine_throttle(Machine *machine, unsigned percent)
{
	Throttle *throttle = machine->throttle;

	g_assert(percent < 100);
	if (!throttle && percent == 0)
		return;
	if (!throttle) {
		throttle = g_new0(Throttle, 1);
		throttle->machine = machine;
		throttle->percent = percent;
		g_mutex_init(&throttle->lock);
		g_cond_init(&throttle->changed);
		machine->throttle = throttle;
		throttle->thread = g_thread_new("throttle", throttle_thread, throttle);
		return;
	}
	g_mutex_lock(&throttle->lock);
	throttle->percent = percent;
	g_cond_signal(&throttle->changed);
	g_mutex_unlock(&throttle->lock);
	if (percent > 0)
		return;
	g_thread_join(throttle->thread);
	g_mutex_clear(&throttle->lock);
	g_cond_clear(&throttle->changed);
	g_free(throttle);
	machine->throttle = NULL;
}
