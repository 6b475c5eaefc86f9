// SPDX-License-Identifier: MIT
/*
 * The lab's agent: process 1 of the emulated machine once it is up.
 *
 * It reads what to do from one disk (/dev/sda) and appends what happens to another (/dev/sdb).
 * labtool/payload.py writes the first and labtool/channel.py reads the second; the layouts are
 * told there. A disk rather than a serial line: a UART of the emulated speed takes minutes for
 * megabytes, and a frame that reached the disk is safe whatever the machine does next.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	SECTOR = 512,
	CHUNK = 128 * 1024,
	FRAME_MAGIC = 0x4c424d55, /* "UMBL" */
	GO_PORT = 0xe9,
	GO_VALUE = 0xe9,
};

enum FrameType {
	FRAME_READY = 1, /* the machine waits for its orders */
	FRAME_START,	 /* the command begins now */
	FRAME_OUT,
	FRAME_ERR,
	FRAME_STATUS, /* u32 wait status */
	FRAME_FILE,   /* u32 index, u32 mode, u32 errno */
	FRAME_DATA,   /* a piece of the file before */
	FRAME_KLOG,
	FRAME_DONE,
};

typedef struct {
	uint32_t magic, sequence, type, length;
} FrameHead;

typedef struct {
	uint32_t sequence, magic;
} FrameTail;

typedef struct {
	char magic[8];
	uint64_t words_size, archive_offset, archive_size, time;
	uint8_t seed[32];
} Orders;

typedef struct {
	int fd;
	uint32_t sequence;
	off_t end;
	uint8_t *buffer; /* aligned, for O_DIRECT */
} Channel;

static void die(const char *what)
{
	fprintf(stderr, "lab agent: %s: %s\n", what, strerror(errno));
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}

/* Appends one frame. When this returns the host has it. */
static void channel_send(Channel *channel, enum FrameType type, const void *body, size_t length)
{
	size_t size = sizeof(FrameHead) + length + sizeof(FrameTail);
	FrameHead head = {FRAME_MAGIC, channel->sequence, type, (uint32_t)length};
	FrameTail tail = {channel->sequence, ~(uint32_t)FRAME_MAGIC};

	size = (size + SECTOR - 1) / SECTOR * SECTOR;
	memset(channel->buffer, 0, SECTOR);
	memset(channel->buffer + size - SECTOR, 0, SECTOR);
	memcpy(channel->buffer, &head, sizeof(head));
	if (length)
		memcpy(channel->buffer + sizeof(head), body, length);
	/* The tail ends the last sector: sectors arrive in order, so it says that all are there. */
	memcpy(channel->buffer + size - sizeof(tail), &tail, sizeof(tail));
	if (pwrite(channel->fd, channel->buffer, size, channel->end) != (ssize_t)size)
		die("writing to the host");
	channel->end += (off_t)size;
	channel->sequence++;
}

static int open_disk(const char *path, int flags)
{
	/* Disks are found in the background: wait for the node, a minute at most. */
	for (int tries = 0; tries < 60000; tries++) {
		int fd = open(path, flags | O_CLOEXEC);

		if (fd >= 0)
			return fd;
		usleep(1000);
	}
	die(path);
	return -1;
}

/* Waits until the machine runs for a command. A machine that is being saved reads all ones. */
static void await_go(void)
{
	if (ioperm(GO_PORT, 1, 1) != 0)
		die("ioperm");
	while (inb(GO_PORT) != GO_VALUE)
		usleep(100);
	ioperm(GO_PORT, 1, 0);
}

static char *read_words(int disk, const Orders *orders)
{
	size_t size = (orders->words_size + SECTOR - 1) / SECTOR * SECTOR;
	char *words = aligned_alloc(SECTOR, size + SECTOR);

	if (!words || pread(disk, words, size, SECTOR) != (ssize_t)size)
		die("reading the orders");
	words[orders->words_size] = '\0';
	return words;
}

/* Splits off a list: its length in decimal, then that many words, each ended by a NUL. */
static char **next_list(char **cursor)
{
	size_t count = strtoul(*cursor, NULL, 10);
	char **list = calloc(count + 1, sizeof(*list));

	if (!list)
		die("memory");
	for (size_t i = 0; i < count; i++) {
		*cursor += strlen(*cursor) + 1;
		list[i] = *cursor;
	}
	*cursor += strlen(*cursor) + 1;
	return list;
}

/* The archive is fed through a pipe that ends with it: tar reads its input to the end. */
static void unpack(int disk, const Orders *orders)
{
	uint8_t *chunk = aligned_alloc(SECTOR, CHUNK);
	uint64_t done = 0;
	int status, feed[2];
	pid_t pid;

	if (!chunk || pipe2(feed, O_CLOEXEC) != 0)
		die("pipe");
	pid = fork();
	if (pid == 0) {
		dup2(feed[0], STDIN_FILENO);
		execl("/bin/busybox", "tar", "-x", "-C", "/", (char *)NULL);
		_exit(127);
	}
	close(feed[0]);
	while (done < orders->archive_size) {
		uint64_t rest = orders->archive_size - done;
		size_t part = rest < CHUNK ? (size_t)rest : CHUNK;
		size_t whole = (part + SECTOR - 1) / SECTOR * SECTOR;

		if (pread(disk, chunk, whole, (off_t)(orders->archive_offset + done)) !=
			    (ssize_t)whole ||
		    write(feed[1], chunk, part) != (ssize_t)part)
			die("reading what the run brought along");
		done += part;
	}
	close(feed[1]);
	free(chunk);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		die("unpacking what the run brought along");
}

/* The clock and the random pool of a restored machine are those of the moment it was saved. */
static void freshen(const Orders *orders)
{
	struct timespec now = {.tv_sec = (time_t)orders->time};
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

	clock_settime(CLOCK_REALTIME, &now);
	if (fd >= 0) {
		if (write(fd, orders->seed, sizeof(orders->seed)) < 0)
			fprintf(stderr, "lab agent: no seed\n");
		close(fd);
	}
}

static _Noreturn void run_command(char **argv, const int *out, const int *err)
{
	int null = open("/dev/null", O_RDONLY);

	setsid();
	dup2(null, STDIN_FILENO);
	dup2(out[1], STDOUT_FILENO);
	dup2(err[1], STDERR_FILENO);
	for (int fd = 3; fd < 32; fd++)
		close(fd);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "lab/run: cannot run '%s': %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Forwards what is there; false once nobody can write any more. */
static bool forward(Channel *channel, int fd, enum FrameType type)
{
	static char chunk[CHUNK];
	ssize_t got = read(fd, chunk, sizeof(chunk));

	if (got > 0)
		channel_send(channel, type, chunk, (size_t)got);
	return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

/* Reaps orphans too; true once the command itself has ended. */
static bool reap(pid_t command, uint32_t *ret_status)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == command) {
			*ret_status = (uint32_t)status;
			ended = true;
		}
	}
	return ended;
}

/*
 * Carries output while the command runs. What it wrote before it ended is in the pipes when it
 * has ended; a process left in the background does not hold the run up.
 */
static uint32_t supervise(Channel *channel, pid_t command, int out, int err)
{
	struct pollfd fds[] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
	const enum FrameType types[] = {FRAME_OUT, FRAME_ERR};
	struct timespec nap = {.tv_nsec = 100 * 1000 * 1000};
	bool ended = false;
	uint32_t status = 0;
	sigset_t none;

	sigemptyset(&none);
	for (;;) {
		bool moved = false;

		if (!ended)
			ended = reap(command, &status);
		if (ppoll(fds, 2, ended ? &(struct timespec){0} : &nap, &none) > 0) {
			for (int i = 0; i < 2; i++) {
				if (!fds[i].revents)
					continue;
				if (forward(channel, fds[i].fd, types[i]))
					moved = true;
				else
					fds[i].fd = -1;
			}
		}
		if (ended && !moved)
			return status;
	}
}

static void send_file(Channel *channel, uint32_t index, const char *path)
{
	static char chunk[CHUNK];
	uint32_t head[3] = {index, 0, 0};
	struct stat about;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0 || fstat(fd, &about) < 0)
		head[2] = (uint32_t)errno;
	else if (S_ISDIR(about.st_mode))
		head[2] = EISDIR;
	else
		head[1] = about.st_mode & 07777;
	channel_send(channel, FRAME_FILE, head, sizeof(head));
	while (head[2] == 0 && (got = read(fd, chunk, sizeof(chunk))) > 0)
		channel_send(channel, FRAME_DATA, chunk, (size_t)got);
	if (fd >= 0)
		close(fd);
}

static void send_kernel_log(Channel *channel)
{
	enum { READ_ALL = 3, SIZE_BUFFER = 10 };
	int size = klogctl(SIZE_BUFFER, NULL, 0);
	char *log = size > 0 ? malloc((size_t)size) : NULL;
	int got = log ? klogctl(READ_ALL, log, size) : 0;

	for (int at = 0; at < got; at += CHUNK)
		channel_send(channel, FRAME_KLOG, log + at,
			     (size_t)(got - at < CHUNK ? got - at : CHUNK));
	free(log);
}

static void on_child(int signal)
{
	(void)signal; /* only there to end ppoll() */
}

/* Blocked but in ppoll(), so that no child can end unseen between reaping and waiting. */
static void watch_children(void)
{
	struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
	sigset_t child;

	sigaction(SIGCHLD, &action, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
}

static uint32_t start_and_supervise(Channel *channel, char **argv)
{
	int out[2], err[2];
	sigset_t child;
	pid_t command;

	if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
		die("pipe");
	watch_children();
	channel_send(channel, FRAME_START, NULL, 0);
	command = fork();
	if (command < 0)
		die("fork");
	if (command == 0) {
		sigemptyset(&child);
		sigprocmask(SIG_SETMASK, &child, NULL);
		run_command(argv, out, err);
	}
	close(out[1]);
	close(err[1]);
	return supervise(channel, command, out[0], err[0]);
}

int main(void)
{
	Channel channel = {.buffer = aligned_alloc(SECTOR, CHUNK + 2 * SECTOR)};
	Orders *orders = aligned_alloc(SECTOR, SECTOR);
	int disk = open_disk("/dev/sda", O_RDONLY | O_DIRECT);
	char *words, **argv, **environment, **files;
	uint32_t status;

	channel.fd = open_disk("/dev/sdb", O_RDWR | O_DIRECT);
	if (!channel.buffer || !orders)
		die("memory");
	channel_send(&channel, FRAME_READY, NULL, 0);
	await_go();

	if (pread(disk, orders, SECTOR, 0) != SECTOR || memcmp(orders->magic, "UMBRALAB", 8) != 0)
		die("no orders on the disk");
	words = read_words(disk, orders);
	argv = next_list(&words);
	environment = next_list(&words);
	files = next_list(&words);
	freshen(orders);
	unpack(disk, orders);
	for (size_t i = 0; environment[i]; i++)
		putenv(environment[i]);

	status = start_and_supervise(&channel, argv);
	channel_send(&channel, FRAME_STATUS, &status, sizeof(status));
	for (uint32_t i = 0; files[i]; i++)
		send_file(&channel, i, files[i]);
	send_kernel_log(&channel);
	channel_send(&channel, FRAME_DONE, NULL, 0);
	reboot(RB_POWER_OFF);
	return 0;
}
