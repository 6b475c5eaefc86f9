// SPDX-License-Identifier: MIT
/*
 * A snapshot that cannot be finished leaves the older file as it was, and nothing else.
 */
#include "no_tmpfile.h"
#include "snapshot_fixture.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define OLDER "what was there before"

static void assert_older(const SnapshotFixture *fixture)
{
	g_autofree char *text = NULL;

	g_assert_true(g_file_get_contents(fixture->path, &text, NULL, NULL));
	g_assert_cmpstr(text, ==, OLDER);
	g_assert_cmpuint(fixture_count_files(fixture), ==, 1);
}

static void assert_fails(const SnapshotFixture *fixture, const char *path, const char *parent,
			 const SnapshotProgress *progress, const char *why)
{
	g_autoptr(GError) error = NULL;
	SnapshotSummary summary;

	g_assert_false(snapshot_save(path, fixture->state, &fixture->ram, parent, progress,
				     &summary, &error));
	g_assert_nonnull(error);
	if (!strstr(error->message, path) || !strstr(error->message, why))
		g_error("'%s' should name '%s' and say '%s'", error->message, path, why);
}

/* With and without O_TMPFILE. */
static void both_ways(SnapshotFixture *fixture, void (*test)(SnapshotFixture *fixture))
{
	for (int way = 0; way < 2; way++) {
		no_tmpfile = way;
		test(fixture);
	}
	no_tmpfile = false;
}

static void replaces(SnapshotFixture *fixture)
{
	g_autoptr(Snapshot) snapshot = NULL;

	g_assert_true(g_file_set_contents(fixture->path, OLDER, -1, NULL));
	fixture_save(fixture, fixture->path, NULL);
	g_assert_cmpuint(fixture_count_files(fixture), ==, 1);
	snapshot = snapshot_open(fixture->path, NULL);
	g_assert_nonnull(snapshot);
	fixture_assert_ram(fixture, snapshot);
}

static void test_replaces(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	both_ways(fixture, replaces);
}

static bool is_blocked(int signal_number)
{
	sigset_t set;

	sigprocmask(SIG_BLOCK, NULL, &set);
	return sigismember(&set, signal_number) == 1;
}

static bool is_pending(int signal_number)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, signal_number) == 1;
}

/* First the length is refused, then, with a limit that only RAM exceeds, a write. */
static void beyond_limit(SnapshotFixture *fixture)
{
	struct rlimit limit, before;

	g_assert_true(g_file_set_contents(fixture->path, OLDER, -1, NULL));
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = 3 << 20;
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
	assert_fails(fixture, fixture->path, NULL, NULL, g_strerror(EFBIG));
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
	assert_older(fixture);
	g_assert_false(is_blocked(SIGXFSZ));
	g_assert_false(is_pending(SIGXFSZ));
}

static void test_beyond_limit(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	both_ways(fixture, beyond_limit);
}

/* In a child: a file system of its own, with room for less than what is stored. */
static int save_to_full_disk(SnapshotFixture *fixture)
{
	if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", fixture->folder, "tmpfs", 0, "size=64k") < 0)
		return 77;
	g_assert_true(g_file_set_contents(fixture->path, OLDER, -1, NULL));
	assert_fails(fixture, fixture->path, NULL, NULL, g_strerror(ENOSPC));
	assert_older(fixture);
	no_tmpfile = true;
	assert_fails(fixture, fixture->path, NULL, NULL, g_strerror(ENOSPC));
	assert_older(fixture);
	return 0;
}

static void test_full_disk(SnapshotFixture *fixture, const void *unused)
{
	pid_t child = fork();
	int status;

	(void)unused;
	if (child == 0)
		_exit(save_to_full_disk(fixture));
	g_assert_cmpint(waitpid(child, &status, 0), ==, child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		g_test_skip("no file system can be mounted here");
	else
		g_assert_cmpint(status, ==, 0);
}

static void test_no_permission(SnapshotFixture *fixture, const void *unused)
{
	uid_t user = geteuid();

	(void)unused;
	/* Root may write everywhere: nobody may not. */
	g_assert_cmpint(chmod(fixture->folder, 0555), ==, 0);
	if (user == 0)
		g_assert_cmpint(seteuid(65534), ==, 0);
	assert_fails(fixture, fixture->path, NULL, NULL, g_strerror(EACCES));
	if (user == 0)
		g_assert_cmpint(seteuid(user), ==, 0);
	g_assert_cmpint(chmod(fixture->folder, 0700), ==, 0);
	g_assert_cmpuint(fixture_count_files(fixture), ==, 0);
}

static void test_no_folder(SnapshotFixture *fixture, const void *unused)
{
	g_autofree char *path = fixture_path(fixture, "none/guest.snap");

	(void)unused;
	assert_fails(fixture, path, NULL, NULL, g_strerror(ENOENT));
}

/* Who names a disk, a pipe, a folder or a link has not meant it to become a file. */
static void test_no_regular_file(SnapshotFixture *fixture, const void *unused)
{
	g_autofree char *folder = fixture_path(fixture, "folder");
	g_autofree char *link = fixture_path(fixture, "link");
	struct stat status;

	(void)unused;
	g_assert_cmpint(mkfifo(fixture->path, 0600), ==, 0);
	g_assert_cmpint(mkdir(folder, 0700), ==, 0);
	g_assert_cmpint(symlink("pipe", link), ==, 0);
	assert_fails(fixture, fixture->path, NULL, NULL, "is no regular file");
	assert_fails(fixture, folder, NULL, NULL, "is no regular file");
	assert_fails(fixture, link, NULL, NULL, "is no regular file");
	assert_fails(fixture, "/dev/null", NULL, NULL, "is no regular file");
	g_assert_cmpuint(fixture_count_files(fixture), ==, 3);
	g_assert_cmpint(lstat(link, &status), ==, 0);
	g_assert_true(S_ISLNK(status.st_mode));
}

typedef struct Steps {
	int calls;
	int end_at; /* -1: never */
	int pipe;   /* to tell that the end is there; -1: return false instead */
	uint64_t done;
	uint64_t total;
} Steps;

static bool step(void *owner, uint64_t done, uint64_t total)
{
	Steps *steps = owner;

	g_assert_cmpuint(done, >=, steps->done);
	g_assert_cmpuint(done - steps->done, <=, 8 << 20);
	steps->done = done;
	steps->total = total;
	if (steps->calls++ != steps->end_at)
		return true;
	if (steps->pipe < 0)
		return false;
	g_assert_cmpint(write(steps->pipe, "x", 1), ==, 1);
	for (;;)
		pause();
}

static void test_canceled(SnapshotFixture *fixture, const void *unused)
{
	Steps steps = {.end_at = -1, .pipe = -1};
	const SnapshotProgress progress = {step, &steps};

	(void)unused;
	g_assert_true(snapshot_save(fixture->path, fixture->state, &fixture->ram, NULL, &progress,
				    NULL, NULL));
	g_assert_cmpuint(steps.done, ==, FIXTURE_RAM);
	g_assert_cmpuint(steps.total, ==, FIXTURE_RAM);
	g_assert_true(g_file_set_contents(fixture->path, OLDER, -1, NULL));
	for (int end = 0; end < steps.calls; end++) {
		Steps fewer = {.end_at = end, .pipe = -1};

		assert_fails(fixture, fixture->path, NULL, &(SnapshotProgress){step, &fewer},
			     "canceled");
		assert_older(fixture);
	}
}

/* SIGKILL while the child is in the middle: at each moment at which it reports. */
static bool kill_at(SnapshotFixture *fixture, int moment)
{
	int pipes[2], status;
	pid_t child;
	char byte;

	g_assert_cmpint(pipe(pipes), ==, 0);
	child = fork();
	if (child == 0) {
		Steps steps = {.end_at = moment, .pipe = pipes[1]};
		const SnapshotProgress progress = {step, &steps};

		close(pipes[0]);
		_exit(!snapshot_save(fixture->path, fixture->state, &fixture->ram, NULL, &progress,
				     NULL, NULL));
	}
	close(pipes[1]);
	if (read(pipes[0], &byte, 1) == 1)
		kill(child, SIGKILL);
	close(pipes[0]);
	g_assert_cmpint(waitpid(child, &status, 0), ==, child);
	return WIFSIGNALED(status);
}

static void test_killed(SnapshotFixture *fixture, const void *unused)
{
	g_autoptr(Snapshot) snapshot = NULL;
	int folder = open(fixture->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int moment = 0;

	(void)unused;
	if (folder < 0) {
		g_test_skip("the file system knows no files without a name");
		return;
	}
	close(folder);
	g_assert_true(g_file_set_contents(fixture->path, OLDER, -1, NULL));
	while (kill_at(fixture, moment)) {
		assert_older(fixture);
		moment++;
	}
	g_assert_cmpint(moment, >, 10);
	snapshot = snapshot_open(fixture->path, NULL);
	g_assert_nonnull(snapshot);
	g_assert_cmpuint(fixture_count_files(fixture), ==, 1);
}

static uint64_t resident_pages(const SnapshotFixture *fixture)
{
	g_autofree unsigned char *pages = g_malloc0(FIXTURE_RAM / SNAPSHOT_PAGE);
	uint64_t n = 0;

	g_assert_cmpint(mincore(fixture->bytes, FIXTURE_RAM, pages), ==, 0);
	for (unsigned i = 0; i < FIXTURE_RAM / SNAPSHOT_PAGE; i++)
		n += pages[i] & 1;
	return n;
}

/* Memory that the guest never used is not brought in by looking whether it is zero. */
static void test_untouched(SnapshotFixture *fixture, const void *unused)
{
	uint64_t before = resident_pages(fixture);

	(void)unused;
	if (access("/proc/self/pagemap", R_OK) < 0) {
		g_test_skip("the kernel does not tell which pages are there");
		return;
	}
	fixture_save(fixture, fixture->path, NULL);
	g_assert_cmpuint(resident_pages(fixture), ==, before);
}

#define GIB (1024 * LAYOUT_MIB)

static bool is_touched(uint64_t page)
{
	uint64_t in_gib = page % (GIB / SNAPSHOT_PAGE);

	return in_gib == 0 || in_gib == 1000 * (page * SNAPSHOT_PAGE / GIB + 1) ||
	       in_gib == GIB / SNAPSHOT_PAGE - 1;
}

/* More RAM than the kernel is asked about at a time. */
static void test_large(SnapshotFixture *fixture, const void *unused)
{
	const uint64_t size = 3 * GIB + 5 * SNAPSHOT_PAGE, pages = size / SNAPSHOT_PAGE;
	uint8_t *ram = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	g_autoptr(Snapshot) snapshot = NULL;
	g_autofree uint64_t *stored = NULL;
	uint64_t number;

	(void)unused;
	g_assert_true(ram != MAP_FAILED);
	madvise(ram, size, MADV_NOHUGEPAGE);
	for (uint64_t page = 0; page < pages; page++)
		if (is_touched(page))
			memcpy(ram + page * SNAPSHOT_PAGE, &(uint64_t){page + 1}, sizeof(number));
	fixture->state->memory = size;
	g_assert_true(snapshot_save(fixture->path, fixture->state,
				    &(SnapshotRam){.bytes = ram, .size = size, .anonymous = true},
				    NULL, NULL, NULL, NULL));
	snapshot = snapshot_open(fixture->path, NULL);
	g_assert_nonnull(snapshot);
	stored = snapshot_ram_pages(snapshot, NULL);
	for (uint64_t page = 0; page < pages; page++) {
		g_assert_cmpint(stored[page / 64] >> page % 64 & 1, ==, is_touched(page));
		if (!is_touched(page))
			continue;
		g_assert_true(snapshot_read_ram(snapshot, page * SNAPSHOT_PAGE, &number,
						sizeof(number), NULL));
		g_assert_cmpuint(number, ==, page + 1);
	}
	munmap(ram, size);
}

#define ADD(name, function)                                                               \
	g_test_add("/snapshot-save/" name, SnapshotFixture, NULL, fixture_init, function, \
		   fixture_finish)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("replaces", test_replaces);
	ADD("beyond-limit", test_beyond_limit);
	ADD("full-disk", test_full_disk);
	ADD("no-permission", test_no_permission);
	ADD("no-folder", test_no_folder);
	ADD("no-regular-file", test_no_regular_file);
	ADD("canceled", test_canceled);
	ADD("killed", test_killed);
	ADD("untouched", test_untouched);
	ADD("large", test_large);
	return g_test_run();
}
