// SPDX-License-Identifier: MIT
/*
 * KVM_DIRTY_LOG_INITIALLY_SET is not used. With it a log begins with every page set, and
 * write protection comes only as pages are cleared: right for whoever copies all of RAM
 * from the log. Sets here begin empty, so all would have to be cleared first, and
 * protected in that same moment: a log that begins empty does both in one call.
 */
#include "machine/dirty.h"

#include "base/error.h"
#include "machine/internal.h"

/*
 * Pages to clear in one call: KVM holds its MMU lock for as long, and vCPUs that fault wait
 * for it. A multiple of 64.
 */
#define CLEAR_AT_ONCE (1UL << 18) /* 1 GiB of RAM */

static bool set_logging(Machine *machine, unsigned n_regions, bool on, GError **error)
{
	for (unsigned i = 0; i < n_regions; i++) {
		const MemoryRegion *region = &machine->memory->regions[i];

		if (!kvm_vm_set_memory(&machine->vm, i, region->gpa, region->size, region->host,
				       on ? KVM_MEM_LOG_DIRTY_PAGES : 0, error)) {
			if (on)
				set_logging(machine, i, false, NULL);
			return false;
		}
	}
	return true;
}

/* The group stays once it is there: whoever marks pages finds it without a lock. */
static DirtyGroup *group_of(Machine *machine, GError **error)
{
	DirtyGroup *group = atomic_load(&machine->dirty);

	if (group)
		return group;
	/* Only while no slot is logged: the capability changes what KVM_GET_DIRTY_LOG does. */
	if (!kvm_vm_manual_dirty_log(&machine->vm, &machine->manual_dirty_log, error))
		return NULL;
	group = dirty_group_create(machine->memory->size >> DIRTY_PAGE_SHIFT);
	atomic_store(&machine->dirty, group);
	return group;
}

DirtySet *machine_dirty_start(Machine *machine, GError **error)
{
	DirtyGroup *group = group_of(machine, error);

	if (!group)
		return NULL;
	/* The new set begins clear; what is in the log belongs to the others alone. */
	if (dirty_group_is_empty(group)
		    ? !set_logging(machine, machine->memory->n_regions, true, error)
		    : !machine_dirty_collect(machine, error))
		return NULL;
	return dirty_group_add(group);
}

void machine_dirty_stop(Machine *machine, DirtySet *set)
{
	DirtyGroup *group = atomic_load(&machine->dirty);

	dirty_group_remove(group, set);
	/* Fails for no slot that could be turned on; a log nobody reads would merely cost. */
	if (dirty_group_is_empty(group))
		set_logging(machine, machine->memory->n_regions, false, NULL);
}

static bool is_clear(const uint64_t *bitmap, uint64_t pages)
{
	for (uint64_t w = 0; w < (pages + 63) / 64; w++)
		if (bitmap[w])
			return false;
	return true;
}

static bool clear(Machine *machine, unsigned slot, const uint64_t *bitmap, GError **error)
{
	uint64_t pages = machine->memory->regions[slot].size >> DIRTY_PAGE_SHIFT;

	for (uint64_t first = 0; first < pages; first += CLEAR_AT_ONCE) {
		uint64_t n = MIN(pages - first, CLEAR_AT_ONCE);

		if (!is_clear(bitmap + first / 64, n) &&
		    !kvm_vm_clear_dirty_log(&machine->vm, slot, first, n, bitmap + first / 64,
					    error))
			return false;
	}
	return true;
}

bool machine_dirty_collect(Machine *machine, GError **error)
{
	DirtyGroup *group = atomic_load(&machine->dirty);

	if (!group || dirty_group_is_empty(group))
		return true;
	g_autofree uint64_t *bitmap = g_new0(uint64_t, dirty_group_words(group));
	bool done = true;

	for (unsigned i = 0; i < machine->memory->n_regions && done; i++) {
		/* The hole begins at a multiple of 64 pages, so a region begins with a word. */
		const MemoryRegion *region = &machine->memory->regions[i];
		uint64_t *part = bitmap + (region->offset >> DIRTY_PAGE_SHIFT) / 64;

		done = kvm_vm_get_dirty_log(&machine->vm, i, part, error) &&
		       (!machine->manual_dirty_log || clear(machine, i, part, error));
	}
	/* After a failure too: what has been cleared in KVM must not be forgotten here. */
	dirty_group_merge(group, bitmap);
	return done;
}

void machine_dirty_mark(Machine *machine, uint64_t gpa, uint64_t length)
{
	DirtyGroup *group = atomic_load(&machine->dirty);

	for (unsigned i = 0; group && i < machine->memory->n_regions; i++) {
		const MemoryRegion *region = &machine->memory->regions[i];

		if (gpa >= region->gpa && gpa - region->gpa < region->size) {
			uint64_t inside = gpa - region->gpa;

			dirty_group_mark(group, region->offset + inside,
					 MIN(length, region->size - inside));
		}
	}
}
