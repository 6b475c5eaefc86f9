// SPDX-License-Identifier: MIT
#include "migrate/userfault.h"

#include "base/error.h"
#include "migrate/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 16u

struct Userfault {
	int fd;
	int cancel; /* eventfd */
};

/*
 * The device gives it to whoever may open the device, the system call to whoever may trace
 * other processes. Without UFFD_USER_MODE_ONLY: most of a guest's memory is touched by KVM.
 */
static int open_userfault(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd = -1;

	if (device >= 0) {
		fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(device);
	}
	return fd >= 0 ? fd : (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
}

Userfault *userfault_create(GError **error)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = open_userfault();

	if (fd < 0) {
		umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
			   "post-copy needs userfaultfd for accesses of the kernel's, and it is "
			   "refused: %s: %s",
			   g_strerror(errno),
			   errno == ENOSYS ? "this kernel was built without it"
					   : "give this user access to /dev/userfaultfd, set "
					     "vm.unprivileged_userfaultfd to 1, or be root");
		return NULL;
	}
	g_autoptr(Userfault) fault = g_new0(Userfault, 1);

	fault->fd = fd;
	fault->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fault->cancel < 0 || ioctl(fd, UFFDIO_API, &api) < 0) {
		umbra_fail_errno(error, errno, "UFFDIO_API");
		return NULL;
	}
	return g_steal_pointer(&fault);
}

void userfault_destroy(Userfault *fault)
{
	if (!fault)
		return;
	close(fault->fd);
	if (fault->cancel >= 0)
		close(fault->cancel);
	g_free(fault);
}

static struct uffdio_range range_of(const void *start, size_t length)
{
	return (struct uffdio_range){.start = (uintptr_t)start, .len = length};
}

bool userfault_register(Userfault *fault, void *start, size_t length, GError **error)
{
	const uint64_t needed = 1ULL << _UFFDIO_COPY | 1ULL << _UFFDIO_ZEROPAGE;
	struct uffdio_register request = {
		.range = range_of(start, length),
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (ioctl(fault->fd, UFFDIO_REGISTER, &request) < 0)
		return umbra_fail_errno(error, errno, "UFFDIO_REGISTER of %zu bytes", length);
	return (request.ioctls & needed) == needed ||
	       umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
			  "userfaultfd cannot place pages in the guest's memory here");
}

bool userfault_unregister(Userfault *fault, void *start, size_t length, GError **error)
{
	struct uffdio_range range = range_of(start, length);

	return ioctl(fault->fd, UFFDIO_UNREGISTER, &range) == 0 ||
	       umbra_fail_errno(error, errno, "UFFDIO_UNREGISTER of %zu bytes", length);
}

/* True if there may be something to read. */
static bool wait_for_events(Userfault *fault, GError **error)
{
	struct pollfd pollers[] = {
		{.fd = fault->fd, .events = POLLIN},
		{.fd = fault->cancel, .events = POLLIN},
	};
	int ready;

	do {
		ready = poll(pollers, G_N_ELEMENTS(pollers), -1);
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return umbra_fail_errno(error, errno, "waiting for page faults");
	return !pollers[1].revents;
}

bool userfault_wait(Userfault *fault, uint64_t *ret_addresses, unsigned n_max, unsigned *ret_n,
		    GError **error)
{
	struct uffd_msg events[EVENTS_AT_ONCE];

	for (*ret_n = 0; *ret_n == 0;) {
		if (!wait_for_events(fault, error))
			return false;
		ssize_t size =
			read(fault->fd, events, MIN(n_max, EVENTS_AT_ONCE) * sizeof(events[0]));

		/* Whoever waited may have been called away meanwhile. */
		if (size < 0 && errno != EAGAIN && errno != EINTR)
			return umbra_fail_errno(error, errno, "reading page faults");
		for (ssize_t i = 0; i < size / (ssize_t)sizeof(events[0]); i++)
			if (events[i].event == UFFD_EVENT_PAGEFAULT)
				ret_addresses[(*ret_n)++] = events[i].arg.pagefault.address &
							    ~(uint64_t)(PAGE_SIZE - 1);
	}
	return true;
}

void userfault_cancel(Userfault *fault)
{
	uint64_t one = 1;

	(void)!write(fault->cancel, &one, sizeof(one));
}

/* One call of the kernel, which may do a part of it: bytes placed, or -errno. */
static int64_t place_some(Userfault *fault, void *to, const void *from, size_t length)
{
	if (from) {
		struct uffdio_copy copy = {
			.dst = (uintptr_t)to, .src = (uintptr_t)from, .len = length};

		if (ioctl(fault->fd, UFFDIO_COPY, &copy) < 0 && copy.copy == 0)
			return -errno;
		return copy.copy;
	}
	struct uffdio_zeropage zero = {.range = range_of(to, length)};

	if (ioctl(fault->fd, UFFDIO_ZEROPAGE, &zero) < 0 && zero.zeropage == 0)
		return -errno;
	return zero.zeropage;
}

bool userfault_place(Userfault *fault, void *to, const void *from, size_t length, size_t *ret_done,
		     GError **error)
{
	*ret_done = 0;
	while (*ret_done < length) {
		const uint8_t *source = from ? (const uint8_t *)from + *ret_done : NULL;
		int64_t done =
			place_some(fault, (uint8_t *)to + *ret_done, source, length - *ret_done);

		if (done == -EEXIST)
			return umbra_fail(
				error, UMBRA_ERROR_FAILED,
				"a page of the guest's came back by itself: its memory is "
				"not to be trusted");
		/* The map of the memory is changing. */
		if (done == -EAGAIN)
			continue;
		if (done <= 0)
			return umbra_fail_errno(error, (int)-done, "placing a page");
		*ret_done += (size_t)done;
	}
	return true;
}

void userfault_fill(Userfault *fault, void *page)
{
	struct uffdio_range range = range_of(page, PAGE_SIZE);

	if (place_some(fault, page, NULL, PAGE_SIZE) <= 0)
		(void)ioctl(fault->fd, UFFDIO_WAKE, &range);
}
