// SPDX-License-Identifier: MIT
/*
 * What a vCPU costs its host, in instructions: in the lab the TSC counts them. Fit for
 * any kernel, with CET or without. Prints GUEST FIGURE INSTRUCTIONS, where GUEST is
 * what its CPUID has of CET (none, ibt, both) and FIGURE one of
 *
 *	exit	  a VM exit that the kernel handles by itself
 *	userspace one that goes to userspace and back: the host's state and the guest's
 *	switch	  the same, and each time it is the turn of another virtual machine
 */
#include "box.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

enum {
	BATCH = 200,
	BATCHES = 40,
};

/* out %al, $0x10; jmp to it */
static const uint8_t out_loop[] = {0xe6, 0x10, 0xeb, 0xfc};

/* mov $BATCH, %ebp; then xor %eax, %eax; xor %ecx, %ecx; cpuid; dec %ebp; jnz to the first
 * xor; out %al, $0x10; jmp to the start. CPUID always exits. */
static const uint8_t cpuid_loop[] = {0xbd, BATCH, 0,	0,    0,    0x31, 0xc0, 0x31, 0xc9, 0x0f,
				     0xa2, 0xff,  0xcd, 0x75, 0xf6, 0xe6, 0x10, 0xeb, 0xed};

static const struct Guest {
	const char *name;
	unsigned features;
} guests[] = {
	{"none", BOX_LM},
	{"ibt", BOX_LM | BOX_IBT},
	{"both", BOX_ALL},
};

static void open_with(Box *box, unsigned features, const uint8_t *code, size_t size)
{
	box_open(box, features);
	box_enter_long_mode(box, false);
	box_put(box, BOX_CODE, code, size);
}

/* `runs` times KVM_RUN, the boxes by turns. */
static uint64_t batch(const Box *boxes, unsigned n_boxes, unsigned runs)
{
	uint64_t start = __rdtsc();

	for (unsigned i = 0; i < runs; i++)
		if (ioctl(boxes[i % n_boxes].vcpu, KVM_RUN, 0))
			err(2, "KVM_RUN");
	return __rdtsc() - start;
}

/* The least of many batches, which is one without an interrupt, after one for warmth. */
static double cost(unsigned features, const uint8_t *code, size_t size, unsigned n_boxes,
		   unsigned runs)
{
	uint64_t least = UINT64_MAX;
	Box boxes[2];

	for (unsigned i = 0; i < n_boxes; i++)
		open_with(&boxes[i], features, code, size);
	for (unsigned i = 0; i <= BATCHES; i++) {
		uint64_t spent = batch(boxes, n_boxes, runs);

		least = i && spent < least ? spent : least;
	}
	for (unsigned i = 0; i < n_boxes; i++)
		box_close(&boxes[i]);
	return (double)least / BATCH;
}

/* What KVM offers of CET to guests, as BOX_*. */
static unsigned offered(void)
{
	struct kvm_cpuid2 *cpuid = box_cpuid(BOX_ALL);
	unsigned features = BOX_LM;

	for (unsigned i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function != 7 || entry->index != 0)
			continue;
		features |= entry->ecx & 1u << 7 ? BOX_SHSTK : 0;
		features |= entry->edx & 1u << 20 ? BOX_IBT : 0;
	}
	free(cpuid);
	return features;
}

int main(void)
{
	unsigned has = offered();

	for (unsigned i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
		const struct Guest *guest = &guests[i];
		unsigned features = guest->features;

		if (features & ~has)
			continue;
		printf("%s exit %.2f\n", guest->name,
		       cost(features, cpuid_loop, sizeof(cpuid_loop), 1, 1));
		printf("%s userspace %.2f\n", guest->name,
		       cost(features, out_loop, sizeof(out_loop), 1, BATCH));
		printf("%s switch %.2f\n", guest->name,
		       cost(features, out_loop, sizeof(out_loop), 2, BATCH));
	}
	return 0;
}
