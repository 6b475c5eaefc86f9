// SPDX-License-Identifier: MIT
#include "boot/entry.h"

#include "base/layout.h"

/*
 * Selectors as Linux's boot protocol wants them: __BOOT_CS 0x10, __BOOT_DS 0x18
 * (Documentation/arch/x86/boot.rst, "64-bit boot protocol"). PVH fixes no
 * numbers, only flat segments and a 32-bit TSS.
 */
enum { GDT_CODE = 2, GDT_DATA = 3, GDT_TSS = 4, GDT_ENTRIES = 5 };

/* SDM 3A 3.4.5: descriptor types with the accessed or busy bit already set. */
#define TYPE_CODE   0xb /* execute, read */
#define TYPE_DATA   0x3 /* read, write */
#define TYPE_TSS    0xb /* busy TSS, 32- or 64-bit */

#define PTE_PRESENT (UINT64_C(1) << 0)
#define PTE_WRITE   (UINT64_C(1) << 1)
#define PTE_LARGE   (UINT64_C(1) << 7)
#define PTES	    512
#define LARGE_PAGE  (2 * LAYOUT_MIB)
#define PAGE	    4096

#define CR0_PE	    (UINT64_C(1) << 0)
#define CR0_ET	    (UINT64_C(1) << 4)
#define CR0_PG	    (UINT64_C(1) << 31)
#define CR4_PAE	    (UINT64_C(1) << 5)
#define EFER_LME    (UINT64_C(1) << 8)
#define EFER_LMA    (UINT64_C(1) << 10)
#define RFLAGS_1    (UINT64_C(1) << 1) /* always set */

static struct kvm_segment code_segment(BootMode mode)
{
	return (struct kvm_segment){
		.selector = GDT_CODE * 8,
		.limit = UINT32_MAX,
		.type = TYPE_CODE,
		.s = 1,
		.present = 1,
		.g = 1,
		.l = mode == BOOT_MODE_LONG,
		.db = mode == BOOT_MODE_PVH,
	};
}

static struct kvm_segment data_segment(void)
{
	return (struct kvm_segment){
		.selector = GDT_DATA * 8,
		.limit = UINT32_MAX,
		.type = TYPE_DATA,
		.s = 1,
		.present = 1,
		.g = 1,
		.db = 1,
	};
}

static struct kvm_segment task_segment(void)
{
	return (struct kvm_segment){
		.selector = GDT_TSS * 8,
		.limit = 0x67,
		.type = TYPE_TSS,
		.present = 1,
	};
}

/* SDM 3A figure 3-8. All bases are zero. */
static uint64_t descriptor(struct kvm_segment segment)
{
	uint64_t limit = segment.g ? segment.limit >> 12 : segment.limit;

	return (limit & 0xffff) | (limit >> 16) << 48 | (uint64_t)segment.type << 40 |
	       (uint64_t)segment.s << 44 | (uint64_t)segment.present << 47 |
	       (uint64_t)segment.l << 53 | (uint64_t)segment.db << 54 | (uint64_t)segment.g << 55;
}

/* PML4, one PDPT, four page directories of 2 MiB pages: the first 4 GiB at their own address. */
static void write_page_tables(GuestMemory *memory)
{
	uint64_t pdpt = LAYOUT_PAGE_TABLES + PAGE, directories = pdpt + PAGE;
	uint64_t *table =
		guest_memory_at(memory, LAYOUT_PAGE_TABLES, PAGE * (2 + ENTRY_MAPPED / LAYOUT_GIB));

	table[0] = pdpt | PTE_PRESENT | PTE_WRITE;
	for (unsigned i = 0; i < ENTRY_MAPPED / LAYOUT_GIB; i++)
		table[PTES + i] = (directories + i * PAGE) | PTE_PRESENT | PTE_WRITE;
	for (unsigned i = 0; i < ENTRY_MAPPED / LARGE_PAGE; i++)
		table[2 * PTES + i] = i * LARGE_PAGE | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
}

void entry_write_tables(BootMode mode, GuestMemory *memory)
{
	uint64_t gdt[GDT_ENTRIES] = {
		[GDT_CODE] = descriptor(code_segment(mode)),
		[GDT_DATA] = descriptor(data_segment()),
		[GDT_TSS] = descriptor(task_segment()),
	};

	guest_memory_write(memory, LAYOUT_GDT, gdt, sizeof(gdt));
	if (mode == BOOT_MODE_LONG)
		write_page_tables(memory);
}

void boot_entry_state(const BootEntry *entry, struct kvm_regs *ret_regs, struct kvm_sregs *sregs)
{
	*ret_regs = (struct kvm_regs){.rip = entry->rip, .rflags = RFLAGS_1};
	sregs->cs = code_segment(entry->mode);
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data_segment();
	sregs->tr = task_segment();
	sregs->gdt.base = LAYOUT_GDT;
	sregs->gdt.limit = GDT_ENTRIES * 8 - 1;
	sregs->cr0 = CR0_PE | CR0_ET;
	sregs->cr4 = 0;
	sregs->efer = 0;
	if (entry->mode == BOOT_MODE_PVH) {
		ret_regs->rbx = entry->info;
		return;
	}
	ret_regs->rsi = entry->info;
	sregs->cr3 = LAYOUT_PAGE_TABLES;
	sregs->cr0 |= CR0_PG;
	sregs->cr4 = CR4_PAE;
	sregs->efer = EFER_LME | EFER_LMA;
}
