// SPDX-License-Identifier: MIT
#include "mem/stack_walk.h"

#include <string.h>

#define S_CET_SHSTK_EN 1UL
#define PAGE_4K	       4096UL

/* The page that the last read was in: a walk asks for 512 entries of each. */
typedef struct Reader {
	const GuestMemory *memory;
	const PagingState *paging;
	uint64_t page; /* linear; meaningless while result is not OK */
	const uint8_t *host;
	bool cached;
} Reader;

static ShadowStackRead look_up(Reader *reader, uint64_t page)
{
	Page found;

	reader->cached = false;
	switch (page_walk(reader->memory, reader->paging, page, &found)) {
	case PAGE_WALK_OK:
		break;
	case PAGE_WALK_OUTSIDE_RAM:
		return SHADOW_STACK_READ_DAMAGED;
	default:
		return SHADOW_STACK_READ_UNMAPPED;
	}
	if (!found.shadow_stack)
		return SHADOW_STACK_READ_NOT_STACK;
	reader->page = page;
	reader->host = found.host;
	reader->cached = true;
	return SHADOW_STACK_READ_OK;
}

static ShadowStackRead read_entry(void *owner, uint64_t address, uint64_t *ret_value)
{
	Reader *reader = owner;
	uint64_t page = address & ~(PAGE_4K - 1);

	if (!reader->cached || reader->page != page) {
		ShadowStackRead result = look_up(reader, page);

		if (result != SHADOW_STACK_READ_OK)
			return result;
	}
	memcpy(ret_value, reader->host + (address - page), sizeof(*ret_value));
	return SHADOW_STACK_READ_OK;
}

Backtrace *stack_walk(const GuestMemory *memory, const VcpuView *vcpu, unsigned max)
{
	Reader reader = {.memory = memory, .paging = &vcpu->paging};
	ShadowStackReader seam = {
		.read = read_entry,
		.owner = &reader,
		.linear_bits = (uint8_t)paging_linear_bits(&vcpu->paging),
	};
	Backtrace *backtrace = backtrace_create();
	bool supervisor = vcpu->cpl < 3 && (vcpu->cet.value[CET_S_CET] & S_CET_SHSTK_EN);
	unsigned n;

	backtrace->vcpu = vcpu->id;
	backtrace->cpl = vcpu->cpl;
	backtrace->from = vcpu->cpl == 3 || supervisor ? CET_GUEST_SSP : CET_PL3_SSP;
	backtrace->ssp = vcpu->cet.value[backtrace->from];
	max = MIN(max, BACKTRACE_MAX);
	g_array_set_size(backtrace->frames, max);
	backtrace->end = shadow_stack_walk(&seam, backtrace->ssp,
					   (ShadowStackEntry *)(void *)backtrace->frames->data, max,
					   &n, &backtrace->end_at);
	g_array_set_size(backtrace->frames, n);
	return backtrace;
}
