// SPDX-License-Identifier: MIT
#include "mem/guest_memory.h"

#include "base/error.h"
#include "base/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE   (2 * LAYOUT_MIB)
#define FILE_PIECES 512u /* of a file's data, each a mapping: twice as many at most */

static void lay_out(GuestMemory *memory)
{
	uint64_t low = MIN(memory->size, LAYOUT_HOLE_START);

	memory->regions[0] = (MemoryRegion){.gpa = 0, .size = low, .host = memory->base};
	memory->n_regions = 1;
	if (memory->size > low) {
		memory->regions[1] = (MemoryRegion){
			.gpa = LAYOUT_HOLE_END,
			.size = memory->size - low,
			.host = memory->base + low,
			.offset = low,
		};
		memory->n_regions = 2;
	}
}

/*
 * KVM maps a huge page only where host and guest-physical address agree in their
 * low bits, so RAM starts at a multiple of one. What was mapped beside is given
 * back.
 */
static uint8_t *map_aligned(uint64_t size)
{
	uint64_t head, reserved = size + HUGE_PAGE;
	uint8_t *start = mmap(NULL, reserved, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (start == MAP_FAILED)
		return NULL;
	head = -(uintptr_t)start % HUGE_PAGE;
	if (head > 0)
		munmap(start, head);
	munmap(start + head + size, HUGE_PAGE - head);
	return start + head;
}

static bool is_size(uint64_t size, UmbraError code, GError **error)
{
	if (size >= LAYOUT_RAM_MIN && size <= LAYOUT_RAM_MAX && size % 4096 == 0)
		return true;
	return umbra_fail(error, code,
			  "memory: %" PRIu64 " bytes is out of range: 64M to 4T, in steps of 4K",
			  size);
}

/* Reserved, and nothing in it yet. */
static GuestMemory *reserve(uint64_t size, GError **error)
{
	g_autoptr(GuestMemory) memory = g_new0(GuestMemory, 1);

	memory->size = size;
	memory->file = -1;
	memory->base = map_aligned(size);
	if (!memory->base) {
		umbra_fail_errno(error, errno, "cannot reserve %" PRIu64 " MiB of memory",
				 size / LAYOUT_MIB);
		return NULL;
	}
	lay_out(memory);
	return g_steal_pointer(&memory);
}

GuestMemory *guest_memory_create(uint64_t size, GError **error)
{
	GuestMemory *memory = is_size(size, UMBRA_ERROR_USAGE, error) ? reserve(size, error) : NULL;

	/* Where huge pages are off or not known, this fails, and nothing is lost but time. */
	if (memory)
		madvise(memory->base, size, MADV_HUGEPAGE);
	return memory;
}

/* The first range from `from` on for which the file has data, in steps of `step`; false: none. */
static bool find_data(int fd, uint64_t offset, uint64_t size, uint64_t step, uint64_t *from,
		      uint64_t *ret_end)
{
	off_t data = lseek(fd, (off_t)(offset + *from), SEEK_DATA);
	off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);

	*ret_end = size;
	/* Of a file system that knows no holes all is data. */
	if (hole < 0)
		return !(data < 0 && errno == ENXIO);
	if ((uint64_t)data >= offset + size)
		return false;
	*from = ((uint64_t)data - offset) / step * step;
	*ret_end = MIN(((uint64_t)hole - offset + step - 1) / step * step, size);
	return true;
}

/*
 * Where the file has holes the memory stays what was reserved, nobody's: the first touch of a
 * hole's page would make a file system in memory allocate it for the file, and that for good.
 */
static bool map_data(GuestMemory *memory, int fd, uint64_t offset)
{
	uint64_t step = MAX(HUGE_PAGE, memory->size / FILE_PIECES / HUGE_PAGE * HUGE_PAGE);
	uint64_t at = 0, end;

	for (; at < memory->size && find_data(fd, offset, memory->size, step, &at, &end); at = end)
		if (mmap(memory->base + at, end - at, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
			 (off_t)(offset + at)) == MAP_FAILED)
			return false;
	return true;
}

GuestMemory *guest_memory_create_from_file(uint64_t size, int fd, uint64_t offset, GError **error)
{
	if (!is_size(size, UMBRA_ERROR_INPUT, error))
		return NULL;
	g_autoptr(GuestMemory) memory = reserve(size, error);

	if (!memory)
		return NULL;
	if (!map_data(memory, fd, offset)) {
		umbra_fail_errno(error, errno, "cannot map %" PRIu64 " MiB of a file as memory",
				 size / LAYOUT_MIB);
		return NULL;
	}
	memory->from_file = true;
	/* Only to learn where its holes are: if there is none left, that is not known. */
	memory->file = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	memory->file_offset = offset;
	return g_steal_pointer(&memory);
}

void guest_memory_destroy(GuestMemory *memory)
{
	if (!memory)
		return;
	if (memory->base)
		munmap(memory->base, memory->size);
	if (memory->file >= 0)
		close(memory->file);
	g_free(memory);
}

void *guest_memory_at(const GuestMemory *memory, uint64_t gpa, uint64_t length)
{
	for (unsigned i = 0; i < memory->n_regions; i++) {
		const MemoryRegion *region = &memory->regions[i];
		uint64_t inside = gpa - region->gpa;

		if (gpa >= region->gpa && inside <= region->size && length <= region->size - inside)
			return region->host + inside;
	}
	return NULL;
}

bool guest_memory_read(const GuestMemory *memory, uint64_t gpa, void *to, uint64_t length)
{
	const void *from = guest_memory_at(memory, gpa, length);

	if (from)
		memcpy(to, from, length);
	return from != NULL;
}

bool guest_memory_write(GuestMemory *memory, uint64_t gpa, const void *from, uint64_t length)
{
	void *to = guest_memory_at(memory, gpa, length);

	if (to)
		memcpy(to, from, length);
	return to != NULL;
}
