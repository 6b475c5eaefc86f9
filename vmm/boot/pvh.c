// SPDX-License-Identifier: MIT
#include "base/layout.h"
#include "boot/info.h"

#include <string.h>

#define START_MAGIC   0x336ec578
#define START_VERSION 1

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t n_modules;
	uint64_t modules;
	uint64_t cmdline;
	uint64_t rsdp;
	/* From version 1 on. */
	uint64_t memory_map;
	uint32_t n_memory_map;
	uint32_t reserved;
};

struct module {
	uint64_t start;
	uint64_t size;
	uint64_t cmdline;
	uint64_t reserved;
};

struct map_entry {
	uint64_t start;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

/* All of it in one page; the addresses in it are guest-physical. */
struct page {
	struct start_info start;
	struct module initrd;
	struct map_entry map[MEMORY_MAP_MAX];
};

G_STATIC_ASSERT(sizeof(struct start_info) == 56);
G_STATIC_ASSERT(sizeof(struct module) == 32);
G_STATIC_ASSERT(sizeof(struct map_entry) == 24);
G_STATIC_ASSERT(sizeof(struct page) <= 4096);

void pvh_write(const BootInfo *info, GuestMemory *memory)
{
	struct page page = {
		.start =
			{
				.magic = START_MAGIC,
				.version = START_VERSION,
				.n_modules = info->initrd_size ? 1 : 0,
				.modules = LAYOUT_BOOT_PARAMS + offsetof(struct page, initrd),
				.cmdline = info->cmdline,
				.rsdp = info->rsdp,
				.memory_map = LAYOUT_BOOT_PARAMS + offsetof(struct page, map),
				.n_memory_map = info->map.n_entries,
			},
		.initrd = {.start = info->initrd, .size = info->initrd_size},
	};

	for (unsigned i = 0; i < info->map.n_entries; i++)
		page.map[i] = (struct map_entry){
			.start = info->map.entries[i].start,
			.size = info->map.entries[i].size,
			.type = info->map.entries[i].type,
		};
	guest_memory_write(memory, LAYOUT_BOOT_PARAMS, &page, sizeof(page));
}
