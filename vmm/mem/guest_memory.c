// SPDX-License-Identifier: MIT
#include "mem/guest_memory.h"

#include "base/error.h"
#include "base/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

GuestMemory *guest_memory_create(uint64_t size, GError **error)
{
	g_autoptr(GuestMemory) memory = g_new0(GuestMemory, 1);

	memory->fd = -1;
	memory->size = size;
	if (size < LAYOUT_RAM_MIN || size > LAYOUT_RAM_MAX || size % 4096 != 0) {
		umbra_fail(error, UMBRA_ERROR_USAGE,
			   "memory: %" PRIu64 " bytes is out of range: 64M to 4T, in steps of 4K",
			   size);
		return NULL;
	}
	memory->fd = memfd_create("umbra-ram", MFD_CLOEXEC);
	if (memory->fd < 0 || ftruncate(memory->fd, (off_t)size) < 0) {
		umbra_fail_errno(error, errno, "cannot reserve %" PRIu64 " MiB of memory",
				 size / LAYOUT_MIB);
		return NULL;
	}
	void *base =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory->fd, 0);
	if (base == MAP_FAILED) {
		umbra_fail_errno(error, errno, "cannot map %" PRIu64 " MiB of memory",
				 size / LAYOUT_MIB);
		return NULL;
	}
	memory->base = base;
	lay_out(memory);
	return g_steal_pointer(&memory);
}

void guest_memory_destroy(GuestMemory *memory)
{
	if (!memory)
		return;
	if (memory->base)
		munmap(memory->base, memory->size);
	if (memory->fd >= 0)
		close(memory->fd);
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
