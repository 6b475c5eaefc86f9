// SPDX-License-Identifier: MIT
/*
 * What holds of a machine as soon as machine_start() has returned, however late its vCPUs'
 * threads come to run: the linker leads every call of gettid() through here (--wrap).
 */
#include "kvm/kvm.h"
#include "machine/machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define CPUS	3
#define LATE_US 200000

pid_t __wrap_gettid(void);
pid_t __real_gettid(void);

pid_t __wrap_gettid(void)
{
	g_usleep(LATE_US);
	return __real_gettid();
}

static void on_ended(void *owner G_GNUC_UNUSED)
{
}

static size_t on_output(void *owner G_GNUC_UNUSED, const uint8_t *data G_GNUC_UNUSED, size_t length)
{
	return length;
}

/* Who pins a guest's processors asks at once, and 0 would be its own thread. */
static void test_threads_have_ids(void)
{
	g_autofree char *kernel = g_build_filename(g_getenv("UMBRA_GUESTS"), "hello", NULL);
	const MachineSink sink = {on_ended, {on_output, NULL}, NULL};
	MachineConfig config = {.kvm_path = KVM_DEFAULT_PATH,
				.memory = 64 << 20,
				.cpus = CPUS,
				.kernel = kernel,
				.cmdline = ""};
	g_autoptr(GError) error = NULL;
	g_autoptr(Machine) machine = machine_create(&config, &sink, &error);

	g_assert_no_error(error);
	g_assert_cmpint(machine_vcpu_thread_id(machine, 0), ==, 0);
	machine_start(machine, true, &error);
	g_assert_no_error(error);
	for (unsigned id = 0; id < CPUS; id++) {
		g_autofree char *task = g_strdup_printf("/proc/self/task/%d",
							(int)machine_vcpu_thread_id(machine, id));

		g_test_message("vcpu %u: %s", id, task);
		g_assert_true(g_file_test(task, G_FILE_TEST_IS_DIR));
		for (unsigned other = 0; other < id; other++)
			g_assert_cmpint(machine_vcpu_thread_id(machine, id), !=,
					machine_vcpu_thread_id(machine, other));
	}
	g_assert_cmpint(machine_vcpu_thread_id(machine, CPUS), ==, 0);
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
	g_test_add_func("/start/threads-have-ids", test_threads_have_ids);
	return g_test_run();
}
