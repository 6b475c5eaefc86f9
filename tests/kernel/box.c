// SPDX-License-Identifier: MIT
#include "box.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CPUID_ENTRIES 128
#define RUN_SECONDS   20

#define PAGE_PRESENT  (1ULL << 0)
#define PAGE_WRITE    (1ULL << 1)
#define PAGE_DIRTY    (1ULL << 6)
#define PAGE_LARGE    (1ULL << 7)

bool tap_mainline;
static unsigned tap_count, tap_failed;

void tap(bool ok, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("%sok %u - ", ok ? "" : "not ", ++tap_count);
	vprintf(format, arguments);
	putchar('\n');
	fflush(stdout);
	va_end(arguments);
	tap_failed += !ok;
}

void tap_beyond(bool ok, const char *name)
{
	if (tap_mainline && !ok)
		printf("not ok %u - %s # TODO mainline fails it\n", ++tap_count, name);
	else
		tap(ok, "%s", name);
}

int tap_end(void)
{
	printf("1..%u\n", tap_count);
	return tap_failed ? 1 : 0;
}

int box_kvm(void)
{
	static int kvm = -1;

	if (kvm < 0 && (kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC)) < 0)
		err(2, "/dev/kvm");
	return kvm;
}

static void keep(uint32_t *word, unsigned bit, bool yes)
{
	if (!yes)
		*word &= ~(1u << bit);
}

struct kvm_cpuid2 *box_cpuid(unsigned features)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		err(2, "calloc");
	cpuid->nent = CPUID_ENTRIES;
	if (ioctl(box_kvm(), KVM_GET_SUPPORTED_CPUID, cpuid))
		err(2, "KVM_GET_SUPPORTED_CPUID");
	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == 7 && entry->index == 0) {
			keep(&entry->ecx, 7, features & BOX_SHSTK);
			keep(&entry->edx, 20, features & BOX_IBT);
		}
		if (entry->function == 0x80000001)
			keep(&entry->edx, 29, features & BOX_LM);
	}
	return cpuid;
}

void box_open_without_cpuid(Box *box)
{
	struct kvm_userspace_memory_region ram = {.memory_size = BOX_RAM};
	int size = ioctl(box_kvm(), KVM_GET_VCPU_MMAP_SIZE, 0);

	box->run_size = (size_t)size;
	box->vm = ioctl(box_kvm(), KVM_CREATE_VM, 0);
	if (box->vm < 0 || size < 0)
		err(2, "KVM_CREATE_VM");
	if (ioctl(box->vm, KVM_CREATE_IRQCHIP, 0))
		err(2, "KVM_CREATE_IRQCHIP");
	box->ram = mmap(NULL, BOX_RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (box->ram == MAP_FAILED)
		err(2, "mmap of RAM");
	ram.userspace_addr = (uintptr_t)box->ram;
	if (ioctl(box->vm, KVM_SET_USER_MEMORY_REGION, &ram))
		err(2, "KVM_SET_USER_MEMORY_REGION");
	ram.slot = 1 << 16; /* the same as System Management Mode sees it */
	if (ioctl(box->vm, KVM_SET_USER_MEMORY_REGION, &ram))
		err(2, "KVM_SET_USER_MEMORY_REGION for SMM");
	box->vcpu = ioctl(box->vm, KVM_CREATE_VCPU, 0);
	if (box->vcpu < 0)
		err(2, "KVM_CREATE_VCPU");
	box->run = mmap(NULL, box->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, box->vcpu, 0);
	if (box->run == MAP_FAILED)
		err(2, "mmap of the vCPU");
}

void box_open(Box *box, unsigned features)
{
	struct kvm_cpuid2 *cpuid = box_cpuid(features);

	box_open_without_cpuid(box);
	if (ioctl(box->vcpu, KVM_SET_CPUID2, cpuid))
		err(2, "KVM_SET_CPUID2");
	free(cpuid);
}

void box_close(Box *box)
{
	munmap(box->run, box->run_size);
	close(box->vcpu);
	close(box->vm);
	munmap(box->ram, BOX_RAM);
}

void box_put(Box *box, uint64_t at, const void *data, size_t size)
{
	memcpy(box->ram + at, data, size);
}

uint64_t box_peek(const Box *box, uint64_t at)
{
	uint64_t value;

	memcpy(&value, box->ram + at, sizeof(value));
	return value;
}

void box_poke(Box *box, uint64_t at, uint64_t value)
{
	memcpy(box->ram + at, &value, sizeof(value));
}

/* 16 MiB one to one in pages of 2 MiB. One of them is a shadow stack: dirty and not writable. */
static void map_memory(Box *box)
{
	box_poke(box, 0x1000, 0x2000 | PAGE_PRESENT | PAGE_WRITE);
	box_poke(box, 0x2000, 0x3000 | PAGE_PRESENT | PAGE_WRITE);
	for (uint64_t i = 0; i < 8; i++) {
		uint64_t page = i << 21;

		box_poke(box, 0x3000 + 8 * i,
			 page | PAGE_PRESENT | PAGE_LARGE | PAGE_DIRTY |
				 (page == BOX_SHADOW_STACK ? 0 : PAGE_WRITE));
	}
}

int box_set_crs(Box *box, uint64_t cr0, uint64_t cr4)
{
	struct kvm_sregs sregs;

	if (ioctl(box->vcpu, KVM_GET_SREGS, &sregs))
		err(2, "KVM_GET_SREGS");
	sregs.cr0 = cr0;
	sregs.cr4 = cr4;
	return ioctl(box->vcpu, KVM_SET_SREGS, &sregs) ? -errno : 0;
}

void box_enter_long_mode(Box *box, bool cet)
{
	struct kvm_segment data = {.limit = 0xffffffff,
				   .selector = 16,
				   .type = 3,
				   .present = 1,
				   .db = 1,
				   .s = 1,
				   .g = 1};
	struct kvm_segment code = {.limit = 0xffffffff,
				   .selector = 8,
				   .type = 11,
				   .present = 1,
				   .l = 1,
				   .s = 1,
				   .g = 1};
	struct kvm_regs regs = {.rip = BOX_CODE, .rsp = BOX_STACK, .rflags = 2};
	struct kvm_sregs sregs;

	map_memory(box);
	if (ioctl(box->vcpu, KVM_GET_SREGS, &sregs))
		err(2, "KVM_GET_SREGS");
	sregs.cr0 = 0x80000033 | CR0_WP;
	sregs.cr3 = 0x1000;
	sregs.cr4 = 0x20 | CR4_OSXSAVE | (cet ? CR4_CET : 0);
	sregs.efer = 0x500;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = data;
	if (ioctl(box->vcpu, KVM_SET_SREGS, &sregs))
		err(2, "KVM_SET_SREGS");
	if (ioctl(box->vcpu, KVM_SET_REGS, &regs))
		err(2, "KVM_SET_REGS");
}

typedef struct OneMsr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
} OneMsr;

int box_set_msr(Box *box, uint32_t msr, uint64_t value)
{
	OneMsr one = {.head.nmsrs = 1, .entry = {.index = msr, .data = value}};

	return ioctl(box->vcpu, KVM_SET_MSRS, &one);
}

int box_get_msr(Box *box, uint32_t msr, uint64_t *ret_value)
{
	OneMsr one = {.head.nmsrs = 1, .entry = {.index = msr, .data = 0x5a5a5a5a5a5a5a5a}};
	int result = ioctl(box->vcpu, KVM_GET_MSRS, &one);

	*ret_value = one.entry.data;
	return result;
}

int box_set_one_reg(Box *box, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};

	return ioctl(box->vcpu, KVM_SET_ONE_REG, &reg) ? -errno : 0;
}

int box_get_one_reg(Box *box, uint64_t id, uint64_t *ret_value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)ret_value};

	*ret_value = 0x5a5a5a5a5a5a5a5a;
	return ioctl(box->vcpu, KVM_GET_ONE_REG, &reg) ? -errno : 0;
}

uint32_t box_run(Box *box)
{
	alarm(RUN_SECONDS);
	if (ioctl(box->vcpu, KVM_RUN, 0))
		err(2, "KVM_RUN");
	alarm(0);
	return box->run->exit_reason;
}
