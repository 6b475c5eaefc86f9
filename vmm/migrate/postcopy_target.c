// SPDX-License-Identifier: MIT
#include "migrate/postcopy_target.h"

#include "base/error.h"
#include "migrate/missing.h"
#include "migrate/userfault.h"

#include <string.h>

#define FAULTS_AT_ONCE 16u

struct Postcopy {
	PageSpace space;
	Userfault *fault;
	GThread *asking, *taking;

	atomic_bool free; /* nobody waits any more, and what comes is of no use */

	GMutex lock; /* of all that follows but `channel` */
	GCond changed;
	uint64_t *missing; /* cleared only after the page has been placed: see ask() */
	uint64_t *asked;
	uint64_t n_missing, requests;
	bool all_here;	   /* was told */
	bool given;	   /* GO has come */
	bool broken, done; /* what comes on the channel has come to an end */
	GError *error;	   /* why it is broken */
	GError *deaf;	   /* why nobody asks any more */
	Message mail;	   /* STATE or GO; type 0: none */
	GBytes *mail_payload;

	GMutex sending; /* taken before `lock` */
	Channel *channel;
};

bool postcopy_check(GError **error)
{
	g_autoptr(Userfault) fault = userfault_create(error);

	return fault != NULL;
}

Postcopy *postcopy_create(const PageSpace *space)
{
	Postcopy *postcopy = g_new0(Postcopy, 1);

	postcopy->space = *space;
	postcopy->missing = g_new0(uint64_t, bitmap_words(space->pages));
	postcopy->asked = g_new0(uint64_t, bitmap_words(space->pages));
	g_mutex_init(&postcopy->lock);
	g_mutex_init(&postcopy->sending);
	g_cond_init(&postcopy->changed);
	return postcopy;
}

static bool check_plain(const PageRun *runs, unsigned n, GError **error)
{
	for (unsigned i = 0; i < n; i++)
		if (runs[i].is_zero)
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "pages that come later are said to be zero");
	return true;
}

bool postcopy_take_later(Postcopy *postcopy, const Message *message, GError **error)
{
	const PageRun *runs;
	unsigned n;

	if (!page_runs_check(message, &postcopy->space, &runs, &n, error) ||
	    !check_plain(runs, n, error))
		return false;
	for (unsigned i = 0; i < n; i++)
		for (uint64_t page = runs[i].first; page < runs[i].first + runs[i].n; page++) {
			postcopy->n_missing += !bitmap_has(postcopy->missing, page);
			bitmap_set(postcopy->missing, page);
		}
	return true;
}

/* With the lock `sending` held. A failure shows on the side that receives. */
static void send_want(Postcopy *postcopy, const PageRun *runs, unsigned n)
{
	if (n > 0 && postcopy->channel &&
	    !channel_send(postcopy->channel, MESSAGE_WANT, runs, n * sizeof(*runs), NULL))
		channel_cancel(postcopy->channel);
}

/*
 * A page that is not missing was never touched at the source (or has come just now, and
 * then it stays). Since `missing` is cleared only after placing, zeros never come first.
 */
static void ask(Postcopy *postcopy, const uint64_t *addresses, unsigned n)
{
	PageRun runs[FAULTS_AT_ONCE];
	unsigned n_runs = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t page = (addresses[i] - (uintptr_t)postcopy->space.bytes) / PAGE_SIZE;

		g_mutex_lock(&postcopy->lock);
		bool missing = bitmap_has(postcopy->missing, page);
		bool wanted = missing && !bitmap_has(postcopy->asked, page);

		if (wanted) {
			bitmap_set(postcopy->asked, page);
			postcopy->requests++;
			runs[n_runs++] = (PageRun){.first = page, .n = 1};
		}
		g_mutex_unlock(&postcopy->lock);
		if (!missing)
			userfault_fill(postcopy->fault, postcopy->space.bytes + page * PAGE_SIZE);
	}
	g_mutex_lock(&postcopy->sending);
	send_want(postcopy, runs, n_runs);
	g_mutex_unlock(&postcopy->sending);
}

static void *asking_thread(void *argument)
{
	Postcopy *postcopy = argument;
	uint64_t addresses[FAULTS_AT_ONCE];
	GError *error = NULL;
	unsigned n;

	while (userfault_wait(postcopy->fault, addresses, FAULTS_AT_ONCE, &n, &error))
		ask(postcopy, addresses, n);
	if (!error)
		return NULL;
	g_mutex_lock(&postcopy->lock);
	postcopy->deaf = error;
	g_mutex_unlock(&postcopy->lock);
	g_mutex_lock(&postcopy->sending);
	if (postcopy->channel)
		channel_cancel(postcopy->channel);
	g_mutex_unlock(&postcopy->sending);
	return NULL;
}

static bool place_all(Postcopy *postcopy, uint64_t first, uint32_t n, const uint8_t *data,
		      size_t *ret_done, GError **error)
{
	size_t size = (size_t)n * PAGE_SIZE;
	g_autoptr(GError) why = NULL;

	if (userfault_place(postcopy->fault, postcopy->space.bytes + first * PAGE_SIZE, data, size,
			    ret_done, &why))
		return true;
	if (atomic_load(&postcopy->free)) {
		*ret_done = size;
		return true;
	}
	g_propagate_error(error, g_steal_pointer(&why));
	return false;
}

/* PageSink.place */
static bool place(void *owner, uint64_t first, uint32_t n, const uint8_t *data, GError **error)
{
	Postcopy *postcopy = owner;
	size_t done;

	for (uint64_t page = first; page < first + n; page++)
		if (!bitmap_has(postcopy->missing, page))
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "page %#lx came, which was not missing", page);
	bool all = place_all(postcopy, first, n, data, &done, error);

	g_mutex_lock(&postcopy->lock);
	for (uint64_t page = first; page < first + done / PAGE_SIZE; page++)
		bitmap_clear(postcopy->missing, page);
	postcopy->n_missing -= done / PAGE_SIZE;
	if (postcopy->n_missing == 0)
		g_cond_broadcast(&postcopy->changed);
	g_mutex_unlock(&postcopy->lock);
	return all;
}

/* STATE or GO, for postcopy_expect(). */
static bool deliver(Postcopy *postcopy, const Message *message, GError **error)
{
	g_mutex_lock(&postcopy->lock);
	bool due = !postcopy->given && !postcopy->mail.type &&
		   (message->type == MESSAGE_STATE || message->type == MESSAGE_GO);

	if (due) {
		g_clear_pointer(&postcopy->mail_payload, g_bytes_unref);
		postcopy->mail_payload = g_bytes_new(message->payload, message->size);
		postcopy->mail = *message;
		postcopy->mail.payload = g_bytes_get_data(postcopy->mail_payload, NULL);
		postcopy->given = message->type == MESSAGE_GO;
		g_cond_broadcast(&postcopy->changed);
	}
	g_mutex_unlock(&postcopy->lock);
	return due || umbra_fail(error, UMBRA_ERROR_INPUT, "a message %s came among the pages",
				 message_name(message->type));
}

static bool take(Postcopy *postcopy, Channel *channel, bool *ret_farewell, GError **error)
{
	PageSink sink = {
		.space = postcopy->space, .channels = 1, .place = place, .owner = postcopy};
	Message message;

	if (!channel_receive(channel, &message, error))
		return false;
	if (message.type == MESSAGE_RAM)
		return pages_receive(channel, &message, &sink, error);
	g_mutex_lock(&postcopy->lock);
	*ret_farewell = message.type == MESSAGE_END && postcopy->all_here;
	g_mutex_unlock(&postcopy->lock);
	return *ret_farewell || deliver(postcopy, &message, error);
}

void postcopy_let_go(Postcopy *postcopy)
{
	atomic_store(&postcopy->free, true);
	(void)userfault_unregister(postcopy->fault, postcopy->space.bytes,
				   postcopy->space.pages * PAGE_SIZE, NULL);
}

bool postcopy_send_failure(Postcopy *postcopy, const GError *error)
{
	g_mutex_lock(&postcopy->sending);
	bool begun = postcopy->channel != NULL;

	if (begun)
		channel_send_failure(postcopy->channel, error);
	g_mutex_unlock(&postcopy->sending);
	return begun;
}

static void *taking_thread(void *argument)
{
	Postcopy *postcopy = argument;
	Channel *channel =
		postcopy->channel; /* set before, and taken away only after this thread */
	bool farewell = false;
	GError *error = NULL;

	while (!farewell && take(postcopy, channel, &farewell, &error))
		;
	/* A peer that is merely gone hears nothing. */
	if (g_error_matches(error, UMBRA_ERROR, UMBRA_ERROR_INPUT))
		(void)postcopy_send_failure(postcopy, error);
	g_mutex_lock(&postcopy->lock);
	bool given = postcopy->given;

	g_mutex_unlock(&postcopy->lock);
	/* Nobody owns this guest yet, and nobody will. */
	if (!farewell && !given)
		postcopy_let_go(postcopy);
	g_mutex_lock(&postcopy->lock);
	postcopy->broken = !farewell;
	postcopy->done = farewell;
	postcopy->error = error;
	g_cond_broadcast(&postcopy->changed);
	g_mutex_unlock(&postcopy->lock);
	return NULL;
}

static void start_taking(Postcopy *postcopy, Channel *channel)
{
	postcopy->channel = channel;
	postcopy->taking = g_thread_new("pages", taking_thread, postcopy);
}

bool postcopy_begin(Postcopy *postcopy, Channel *channel, GError **error)
{
	postcopy->fault = userfault_create(error);
	if (!postcopy->fault ||
	    !missing_make(postcopy->fault, &postcopy->space, postcopy->missing, error))
		return false;
	postcopy->asking = g_thread_new("faults", asking_thread, postcopy);
	start_taking(postcopy, channel);
	return true;
}

bool postcopy_expect(Postcopy *postcopy, MessageType type, Message *ret_message, GError **error)
{
	g_mutex_lock(&postcopy->lock);
	while (!postcopy->mail.type && !postcopy->broken)
		g_cond_wait(&postcopy->changed, &postcopy->lock);
	*ret_message = postcopy->mail;
	if (!ret_message->type)
		g_propagate_error(error, g_error_copy(postcopy->error));
	else if (ret_message->type != type)
		umbra_fail(error, UMBRA_ERROR_INPUT, "a message %s came where %s was due",
			   message_name(ret_message->type), message_name(type));
	postcopy->mail.type = 0;
	g_mutex_unlock(&postcopy->lock);
	return ret_message->type == type;
}

bool postcopy_send(Postcopy *postcopy, MessageType type, const void *payload, size_t size,
		   GError **error)
{
	g_mutex_lock(&postcopy->sending);
	bool done = postcopy->channel ? channel_send(postcopy->channel, type, payload, size, error)
				      : umbra_fail(error, UMBRA_ERROR_FAILED, "not connected");

	g_mutex_unlock(&postcopy->sending);
	return done;
}

void postcopy_release(Postcopy *postcopy)
{
	if (postcopy->asking) {
		userfault_cancel(postcopy->fault);
		g_thread_join(g_steal_pointer(&postcopy->asking));
	}
	g_clear_pointer(&postcopy->fault, userfault_destroy);
}

static void stop_taking(Postcopy *postcopy)
{
	if (postcopy->taking)
		g_thread_join(g_steal_pointer(&postcopy->taking));
	g_mutex_lock(&postcopy->sending);
	postcopy->channel = NULL;
	g_mutex_unlock(&postcopy->sending);
}

PostcopyEnd postcopy_wait(Postcopy *postcopy, GError **error)
{
	g_mutex_lock(&postcopy->lock);
	while (!postcopy->broken && !postcopy->done &&
	       (postcopy->n_missing > 0 || postcopy->all_here))
		g_cond_wait(&postcopy->changed, &postcopy->lock);
	bool news = postcopy->n_missing == 0 && !postcopy->all_here, farewell = postcopy->done;

	postcopy->all_here = postcopy->n_missing == 0;
	g_mutex_unlock(&postcopy->lock);
	if (news)
		return POSTCOPY_ALL_HERE;
	stop_taking(postcopy);
	if (farewell)
		return POSTCOPY_FAREWELL;
	g_propagate_error(error, g_steal_pointer(&postcopy->error));
	if (postcopy->deaf)
		g_prefix_error(error, "%s: ", postcopy->deaf->message);
	return POSTCOPY_BROKEN;
}

/* What the source has to know to go on. */
static bool tell_missing(Postcopy *postcopy, Channel *channel, GError **error)
{
	uint64_t pages = postcopy->space.pages;
	g_autofree uint64_t *waited_for = NULL;

	g_mutex_lock(&postcopy->lock);
	waited_for = g_memdup2(postcopy->asked, bitmap_words(pages) * sizeof(uint64_t));
	g_mutex_unlock(&postcopy->lock);
	for (size_t i = 0; i < bitmap_words(pages); i++)
		waited_for[i] &= postcopy->missing[i];
	return page_runs_send(channel, MESSAGE_MISSING, postcopy->missing, pages, error) &&
	       channel_send(channel, MESSAGE_END, NULL, 0, error) &&
	       page_runs_send(channel, MESSAGE_WANT, waited_for, pages, error) &&
	       (!postcopy->all_here || channel_send(channel, MESSAGE_COMPLETE, NULL, 0, error));
}

/* `missing` and `all_here` do not change while nothing is taken. */
bool postcopy_resume(Postcopy *postcopy, Channel *channel, GError **error)
{
	g_mutex_lock(&postcopy->sending);
	bool done = tell_missing(postcopy, channel, error);

	if (done) {
		postcopy->broken = false;
		start_taking(postcopy, channel);
	}
	g_mutex_unlock(&postcopy->sending);
	return done;
}

void postcopy_query(Postcopy *postcopy, uint64_t *ret_missing, uint64_t *ret_requests)
{
	g_mutex_lock(&postcopy->lock);
	*ret_missing = postcopy->n_missing;
	*ret_requests = postcopy->requests;
	g_mutex_unlock(&postcopy->lock);
}

void postcopy_destroy(Postcopy *postcopy)
{
	if (!postcopy)
		return;
	stop_taking(postcopy);
	postcopy_release(postcopy);
	g_clear_pointer(&postcopy->mail_payload, g_bytes_unref);
	g_clear_error(&postcopy->error);
	g_clear_error(&postcopy->deaf);
	g_mutex_clear(&postcopy->lock);
	g_mutex_clear(&postcopy->sending);
	g_cond_clear(&postcopy->changed);
	g_free(postcopy->missing);
	g_free(postcopy->asked);
	g_free(postcopy);
}
