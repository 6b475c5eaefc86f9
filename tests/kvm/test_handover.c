// SPDX-License-Identifier: MIT
/*
 * The order in which a guest is handed over, which nobody sees from outside: the target
 * has set the word that both sides share before it lets a vCPU run. Both sides are in this process;
 * the linker leads every call of machine_resume() through here (--wrap).
 */
#include "kvm/kvm.h"
#include "migrate/owner.h"
#include "migrate/source.h"
#include "migrate/target.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static struct {
	GMutex lock;
	GCond changed;
	bool resumed, failed;
	uint32_t side; /* what the word was at that moment */
	Machine *arrived;
} seen;

/* The shared word as it stands in memory (migrate/owner.c): after the session, the side. */
static uint32_t read_word(void)
{
	g_autoptr(GDir) fds = g_dir_open("/proc/self/fd", 0, NULL);
	uint32_t side = G_MAXUINT32;

	for (const char *name = g_dir_read_name(fds); name; name = g_dir_read_name(fds)) {
		g_autofree char *path = g_build_filename("/proc/self/fd", name, NULL);
		g_autofree char *target = g_file_read_link(path, NULL);

		if (!target || !g_str_has_prefix(target, "/memfd:umbra-owner"))
			continue;
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		g_assert_cmpint(pread(fd, &side, sizeof(side), SESSION_SIZE), ==, sizeof(side));
		close(fd);
	}
	return side;
}

bool __wrap_machine_resume(Machine *machine);
bool __real_machine_resume(Machine *machine);

bool __wrap_machine_resume(Machine *machine)
{
	seen.resumed = true;
	seen.side = read_word();
	return __real_machine_resume(machine);
}

static void on_ended(void *owner G_GNUC_UNUSED)
{
}

static size_t on_output(void *owner G_GNUC_UNUSED, const uint8_t *data G_GNUC_UNUSED, size_t length)
{
	return length;
}

static const MachineSink machine_sink = {on_ended, {on_output, NULL}, NULL};

static void on_refused(void *owner G_GNUC_UNUSED, const GError *error)
{
	g_test_message("refused: %s", error->message);
}

static void over(Machine *machine, bool failed)
{
	g_mutex_lock(&seen.lock);
	seen.arrived = machine;
	seen.failed = failed;
	g_cond_signal(&seen.changed);
	g_mutex_unlock(&seen.lock);
}

static void on_started(void *owner G_GNUC_UNUSED, Machine *machine)
{
	over(machine, false);
}

static void on_failed(void *owner G_GNUC_UNUSED, const GError *error)
{
	g_test_message("failed: %s", error->message);
	over(NULL, true);
}

static void on_changed(void *owner G_GNUC_UNUSED)
{
}

static Machine *boot(void)
{
	g_autofree char *kernel = g_build_filename(g_getenv("UMBRA_GUESTS"), "tally", NULL);
	MachineConfig config = {.kvm_path = KVM_DEFAULT_PATH,
				.memory = 64 << 20,
				.cpus = 1,
				.kernel = kernel,
				.cmdline = "0 64"};
	GError *error = NULL;
	Machine *machine = machine_create(&config, &machine_sink, &error);

	g_assert_no_error(error);
	g_assert_true(machine_start(machine, false, &error));
	return machine;
}

static void test_the_word_is_set_before_it_runs(void)
{
	g_autofree char *folder = g_dir_make_tmp("umbra-XXXXXX", NULL);
	g_autofree char *uri = g_strdup_printf("unix:%s/socket", folder);
	MachineConfig config = {.kvm_path = KVM_DEFAULT_PATH};
	MigrateTargetConfig waits = {
		.uri = uri,
		.patience_ms = PATIENCE_MS,
		.machine = &config,
		.machine_sink = &machine_sink,
		.sink = {.refused = on_refused, .started = on_started, .failed = on_failed}};
	MigrateSourceConfig goes = {.uri = uri,
				    .parameters = MIGRATE_PARAMETERS_DEFAULT,
				    .sink = {.changed = on_changed}};
	Machine *machine = boot();
	GError *error = NULL;
	MigrateTarget *target = migrate_target_start(&waits, &error);

	g_assert_no_error(error);
	MigrateSource *source = migrate_source_create(machine, &goes, &error);

	g_assert_no_error(error);
	g_assert_true(migrate_source_run(source, &error));
	g_mutex_lock(&seen.lock);
	while (!seen.arrived && !seen.failed)
		g_cond_wait(&seen.changed, &seen.lock);
	g_mutex_unlock(&seen.lock);
	g_assert_nonnull(seen.arrived);
	g_assert_true(seen.resumed);
	g_assert_cmpuint(seen.side, ==, OWNER_TARGET);
	migrate_source_destroy(source);
	migrate_target_destroy(target);
	machine_destroy(seen.arrived);
	machine_destroy(machine);
	g_rmdir(folder);
}

int main(int argc, char **argv)
{
	int kvm = open(KVM_DEFAULT_PATH, O_RDWR | O_CLOEXEC);

	g_test_init(&argc, &argv, NULL);
	if (kvm < 0) {
		printf("1..0 # SKIP no usable " KVM_DEFAULT_PATH "\n");
		return 0;
	}
	close(kvm);
	g_test_add_func("/handover/the-word-first", test_the_word_is_set_before_it_runs);
	return g_test_run();
}
