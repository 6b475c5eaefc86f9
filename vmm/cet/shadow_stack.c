// SPDX-License-Identifier: MIT
#include "cet/shadow_stack.h"

#define ENTRY_SIZE	 8U
#define TOKEN_64BIT	 1UL
#define TOKEN_BUSY	 1UL
#define TOKEN_PREVIOUS	 2UL
#define TOKEN_FLAGS	 7UL
#define SIGNAL_FRAME_BIT (1UL << 63)

const char *shadow_stack_kind_name(ShadowStackKind kind)
{
	static const char *const names[] = {
		[SHADOW_STACK_RETURN] = "return",
		[SHADOW_STACK_RESTORE_TOKEN] = "restore-token",
		[SHADOW_STACK_PREVIOUS_SSP] = "previous-ssp-token",
		[SHADOW_STACK_SUPERVISOR_FREE] = "supervisor-token",
		[SHADOW_STACK_SUPERVISOR_BUSY] = "supervisor-token-busy",
		[SHADOW_STACK_SIGNAL_FRAME] = "signal-frame",
		[SHADOW_STACK_EMPTY] = "empty",
		[SHADOW_STACK_UNKNOWN] = "unknown",
	};

	return names[kind];
}

static const struct {
	const char *name;
	const char *text;
} ends[] = {
	[SHADOW_STACK_END_UNMAPPED] = {"unmapped", "the stack ends: the next page is not mapped"},
	[SHADOW_STACK_END_NOT_STACK] = {"not-shadow-stack",
					"the stack ends: the next page is no shadow stack"},
	[SHADOW_STACK_END_LIMIT] = {"limit", "more entries follow"},
	[SHADOW_STACK_END_BAD_SSP] = {"bad-ssp", "this is no address that SSP could hold"},
	[SHADOW_STACK_END_DAMAGED] = {"damaged", "the page tables lead out of the guest's RAM"},
	[SHADOW_STACK_END_NONE_HERE] = {"no-shadow-stack", "there is no shadow stack: SSP is 0"},
};

const char *shadow_stack_end_name(ShadowStackEnd end)
{
	return ends[end].name;
}

const char *shadow_stack_end_text(ShadowStackEnd end)
{
	return ends[end].text;
}

static bool canonical(const ShadowStackReader *reader, uint64_t address)
{
	unsigned unused = 64U - reader->linear_bits;

	return (uint64_t)((int64_t)(address << unused) >> unused) == address;
}

static bool is_shadow_stack(const ShadowStackReader *reader, uint64_t address)
{
	uint64_t value;

	return canonical(reader, address) && address % ENTRY_SIZE == 0 &&
	       reader->read(reader->owner, address, &value) == SHADOW_STACK_READ_OK;
}

/*
 * Tokens that name their own address are certain. The others are told from a
 * return address by where they point: code never stands on a shadow stack. An
 * old SSP may be the stack's upper end, which is no shadow stack any more: the
 * entry before it is asked.
 */
ShadowStackKind shadow_stack_classify(const ShadowStackReader *reader, uint64_t at, uint64_t value)
{
	uint64_t signal_ssp = value & ~SIGNAL_FRAME_BIT;

	if (value == 0)
		return SHADOW_STACK_EMPTY;
	if (value == at)
		return SHADOW_STACK_SUPERVISOR_FREE;
	if (value == (at | TOKEN_BUSY))
		return SHADOW_STACK_SUPERVISOR_BUSY;
	if (value == ((at + ENTRY_SIZE) | TOKEN_64BIT))
		return SHADOW_STACK_RESTORE_TOKEN;
	if (value != signal_ssp && is_shadow_stack(reader, signal_ssp - ENTRY_SIZE))
		return SHADOW_STACK_SIGNAL_FRAME;
	if ((value & TOKEN_PREVIOUS) &&
	    is_shadow_stack(reader, (value & ~TOKEN_FLAGS) - ENTRY_SIZE))
		return SHADOW_STACK_PREVIOUS_SSP;
	return canonical(reader, value) ? SHADOW_STACK_RETURN : SHADOW_STACK_UNKNOWN;
}

static ShadowStackEnd end_of(ShadowStackRead result)
{
	switch (result) {
	case SHADOW_STACK_READ_NOT_STACK:
		return SHADOW_STACK_END_NOT_STACK;
	case SHADOW_STACK_READ_DAMAGED:
		return SHADOW_STACK_END_DAMAGED;
	default:
		return SHADOW_STACK_END_UNMAPPED;
	}
}

ShadowStackEnd shadow_stack_walk(const ShadowStackReader *reader, uint64_t ssp,
				 ShadowStackEntry *ret_entries, unsigned max, unsigned *ret_n,
				 uint64_t *ret_end_at)
{
	uint64_t at = ssp;

	*ret_n = 0;
	*ret_end_at = ssp;
	if (ssp == 0)
		return SHADOW_STACK_END_NONE_HERE;
	if (ssp % ENTRY_SIZE != 0 || !canonical(reader, ssp))
		return SHADOW_STACK_END_BAD_SSP;
	for (; *ret_n < max; at += ENTRY_SIZE) {
		ShadowStackEntry *entry = &ret_entries[*ret_n];
		ShadowStackRead result = SHADOW_STACK_READ_UNMAPPED;

		/* The end of the lower half: an address beyond it cannot be mapped. */
		if (canonical(reader, at) && at >= ssp)
			result = reader->read(reader->owner, at, &entry->value);
		*ret_end_at = at;
		if (result != SHADOW_STACK_READ_OK)
			return end_of(result);
		entry->at = at;
		entry->kind = shadow_stack_classify(reader, at, entry->value);
		++*ret_n;
	}
	*ret_end_at = at;
	return SHADOW_STACK_END_LIMIT;
}
