// SPDX-License-Identifier: MIT
/* The log of written pages, against a guest that writes those it is told to
 * (tests/guests/writer.c). */
#include "machine/dirty.h"

#include "base/error.h"
#include "base/layout.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FIRST 8192UL		      /* the guest's; pages */
#define AREA  8192UL		      /* pages from FIRST that only commands write */
#define HIGH  (3 * LAYOUT_GIB / 4096) /* where 4 GiB stands among the pages of RAM */

typedef struct Guest {
	Machine *machine;
	GMutex lock;
	GCond changed;
	GString *said;
	unsigned answers;
} Guest;

static size_t hear(void *owner, const uint8_t *data, size_t length)
{
	Guest *guest = owner;

	g_mutex_lock(&guest->lock);
	g_string_append_len(guest->said, (const char *)data, (gssize)length);
	for (size_t i = 0; i < length; i++)
		guest->answers += data[i] == '\n';
	g_cond_broadcast(&guest->changed);
	g_mutex_unlock(&guest->lock);
	return length;
}

static void ended(void *owner)
{
	(void)owner;
}

static void await(Guest *guest, unsigned answers)
{
	gint64 deadline = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;

	g_mutex_lock(&guest->lock);
	while (guest->answers < answers)
		if (!g_cond_wait_until(&guest->changed, &guest->lock, deadline))
			g_error("no answer %u; said: %s", answers, guest->said->str);
	g_mutex_unlock(&guest->lock);
}

static void send(Guest *guest, const char *command)
{
	size_t length = strlen(command), sent = 0;

	while (sent < length) {
		io_bus_lock(machine_bus(guest->machine));
		sent += serial_receive(machine_console(guest->machine),
				       (const uint8_t *)command + sent, length - sent);
		io_bus_unlock(machine_bus(guest->machine));
	}
}

/* Commands of two characters each, all done when this returns. */
static void tell(Guest *guest, const char *commands)
{
	unsigned before = guest->answers;

	for (; *commands; commands += 2) {
		send(guest, (const char[]){commands[0], commands[1], 0});
		await(guest, ++before);
	}
}

static void begin(Guest *guest, uint64_t memory)
{
	g_autofree char *kernel = g_build_filename(g_getenv("UMBRA_GUESTS"), "writer", NULL);
	g_autoptr(GError) error = NULL;
	MachineConfig config = {.kvm_path = KVM_DEFAULT_PATH,
				.memory = memory,
				.cpus = 1,
				.kernel = kernel,
				.cmdline = ""};
	MachineSink sink = {
		.ended = ended, .console = {.write = hear, .owner = guest}, .owner = guest};

	*guest = (Guest){.said = g_string_new(NULL)};
	guest->machine = machine_create(&config, &sink, &error);
	g_assert_no_error(error);
	machine_start(guest->machine, false, &error);
	g_assert_no_error(error);
	await(guest, 1);
}

static void end(Guest *guest)
{
	machine_destroy(guest->machine);
	g_string_free(guest->said, TRUE);
}

static DirtySet *start(Guest *guest)
{
	g_autoptr(GError) error = NULL;
	DirtySet *set = machine_dirty_start(guest->machine, &error);

	g_assert_no_error(error);
	return set;
}

static void collect(Guest *guest)
{
	g_autoptr(GError) error = NULL;

	machine_dirty_collect(guest->machine, &error);
	g_assert_no_error(error);
}

static bool is_set(const uint64_t *bitmap, uint64_t page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

/* What a u or s command with this digit writes, by the guest's own description. */
static bool writes(unsigned k, uint64_t page)
{
	uint64_t first = FIRST + 512UL * k, step = k + 3;

	return page >= first && (page - first) % step == 0 && (page - first) / step < 64;
}

/* The area holds what the commands with these digits wrote, and nothing else. */
static void assert_written(DirtySet *set, const char *digits)
{
	g_autofree uint64_t *bitmap = dirty_set_take(set);

	for (uint64_t page = FIRST; page < FIRST + AREA; page++) {
		bool expected = false;

		for (const char *at = digits; *at; at++)
			expected = expected || writes((unsigned)(*at - '0'), page);
		if (is_set(bitmap, page) != expected)
			g_error("digits '%s': page %lu is %s", digits, page,
				expected ? "missing" : "too many");
	}
}

static void test_pages(void)
{
	Guest guest;

	begin(&guest, 64 * LAYOUT_MIB);
	tell(&guest, "u8s9");
	DirtySet *set = start(&guest);

	g_assert_cmpuint(dirty_set_count(set), ==, 0);
	tell(&guest, "u1s2");
	collect(&guest);
	assert_written(set, "12");
	g_assert_cmpuint(dirty_set_count(set), ==, 0);
	/* Clean pages are found again, and those of two rounds together. */
	tell(&guest, "u1");
	collect(&guest);
	tell(&guest, "u1s3");
	collect(&guest);
	assert_written(set, "13");
	collect(&guest);
	assert_written(set, "");
	machine_dirty_stop(guest.machine, set);
	tell(&guest, "u4");
	/* The log begins anew. */
	set = start(&guest);
	tell(&guest, "u5");
	collect(&guest);
	assert_written(set, "5");
	machine_dirty_mark(guest.machine, (FIRST + 512 * 6) * 4096 + 4095, 1);
	g_assert_cmpuint(dirty_set_count(set), ==, 1);
	end(&guest);
}

static void test_two_sets(void)
{
	Guest guest;

	begin(&guest, 64 * LAYOUT_MIB);
	DirtySet *one = start(&guest);

	tell(&guest, "u1");
	DirtySet *other = start(&guest);

	tell(&guest, "s2");
	collect(&guest);
	assert_written(one, "12");
	tell(&guest, "u3");
	collect(&guest);
	machine_dirty_stop(guest.machine, one);
	tell(&guest, "u4");
	collect(&guest);
	assert_written(other, "234");
	end(&guest);
}

static void test_above_the_hole(void)
{
	Guest guest;

	begin(&guest, 4 * LAYOUT_GIB + 4096);
	DirtySet *set = start(&guest);

	tell(&guest, "h0h7u2");
	collect(&guest);
	g_autofree uint64_t *bitmap = dirty_set_take(set);

	for (uint64_t page = HIGH; page < HIGH + 8000; page++)
		g_assert_cmpint(is_set(bitmap, page), ==, page == HIGH + 5 || page == HIGH + 7005);
	g_assert_true(is_set(bitmap, FIRST + 1024));
	end(&guest);
}

#define BUSY 1024 /* pages that the guest keeps writing */

/* Brings the copy up to date from the log; returns how many pages that were. */
static unsigned update(Guest *guest, DirtySet *set, uint8_t *copy, const uint8_t *area)
{
	unsigned found = 0;

	collect(guest);
	g_autofree uint64_t *bitmap = dirty_set_take(set);

	for (unsigned i = 0; i < BUSY; i++)
		if (is_set(bitmap, FIRST + i)) {
			memcpy(copy + i * 4096UL, area + i * 4096UL, 4096);
			found++;
		}
	return found;
}

/*
 * A copy kept up to date from the log while the guest writes at full speed is what the
 * guest has, whenever it stands still: no write falls between reading the log, clearing
 * it and copying.
 */
static void test_nothing_is_lost(void)
{
	g_autofree uint8_t *copy = g_malloc0(BUSY * 4096UL);
	unsigned found = 0;
	Guest guest;

	begin(&guest, 64 * LAYOUT_MIB);
	const uint8_t *area =
		guest_memory_at(machine_memory(guest.machine), FIRST * 4096, BUSY * 4096UL);
	DirtySet *set = start(&guest);

	/* For minutes; the test is over long before. */
	send(&guest, "r9");
	for (unsigned stop = 0; stop < 200; stop++) {
		for (unsigned wanted = found + 64; found < wanted;)
			found += update(&guest, set, copy, area);
		g_assert_true(machine_pause(guest.machine));
		found += update(&guest, set, copy, area);
		g_assert_cmpint(memcmp(copy, area, BUSY * 4096UL), ==, 0);
		g_assert_true(machine_resume(guest.machine));
	}
	g_test_message("%u pages", found);
	end(&guest);
}

int main(int argc, char **argv)
{
	int kvm = open(KVM_DEFAULT_PATH, O_RDWR | O_CLOEXEC);

	if (kvm < 0) {
		g_print("1..0 # SKIP " KVM_DEFAULT_PATH ": %m\n");
		return 0;
	}
	close(kvm);
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/dirty/pages", test_pages);
	g_test_add_func("/dirty/two_sets", test_two_sets);
	g_test_add_func("/dirty/above_the_hole", test_above_the_hole);
	g_test_add_func("/dirty/nothing_is_lost", test_nothing_is_lost);
	return g_test_run();
}
