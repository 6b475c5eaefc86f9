// SPDX-License-Identifier: MIT
/*
 * boot_load() from files to guest memory: what each kind of kernel finds at its
 * entry. Offsets in the PVH start info and the zero page are written out from
 * their specifications.
 */
#include "boot_fixture.h"

static void assert_elf_in_memory(Fixture *f)
{
	uint8_t image[ELF_SIZE];

	make_elf(image);
	/* Up to the note, which some tests change. */
	g_assert_cmpmem(at(f, 0x1000000, 0x800), 0x100, image + 0x1000, 0x100);
	g_assert_cmpmem(at(f, 0x1200000, 0x1000), 0x1000, image + 0x2000, 0x1000);
}

static void test_pvh(Fixture *f, gconstpointer data)
{
	const uint8_t *info, *map, *module;
	struct kvm_sregs sregs = {0};
	struct kvm_regs regs;

	(void)data;
	write_elf(f, true);
	write_file(f->initrd, "initrd!", 7);
	g_assert_true(load(f, f->initrd, "console=ttyS0"));
	assert_elf_in_memory(f);
	boot_entry_state(&f->entry, &regs, &sregs);
	/* Xen docs/misc/pvh.pandoc: 32-bit flat segments, paging off, EBX has the start info. */
	g_assert_cmphex(regs.rip, ==, 0x1000010);
	g_assert_cmphex(regs.rflags, ==, 2);
	g_assert_cmphex(sregs.cr0 & 0x80000001, ==, 1);
	g_assert_cmphex(sregs.cr4, ==, 0);
	g_assert_cmphex(sregs.efer, ==, 0);
	g_assert_true(sregs.cs.db && !sregs.cs.l && sregs.cs.g && sregs.cs.base == 0);
	g_assert_cmphex(sregs.cs.limit, ==, 0xffffffff);
	g_assert_cmphex(sregs.tr.limit, ==, 0x67);
	/* Busy TSS. */
	g_assert_cmphex(sregs.tr.type, ==, 0xb);

	info = at(f, regs.rbx, 56);
	g_assert_cmphex(get(info, 0, 4), ==, 0x336ec578);
	g_assert_cmpuint(get(info, 4, 4), ==, 1);
	g_assert_cmpuint(get(info, 12, 4), ==, 1);
	g_assert_cmpstr((const char *)at(f, get(info, 24, 8), 26), ==, "reboot=acpi console=ttyS0");
	g_assert_cmphex(get(info, 32, 8), ==, 0xe0000);
	module = at(f, get(info, 16, 8), 32);
	g_assert_cmphex(get(module, 0, 8), ==, 64 * 0x100000 - 4096);
	g_assert_cmpuint(get(module, 8, 8), ==, 7);
	g_assert_cmpmem(at(f, get(module, 0, 8), 7), 7, "initrd!", 7);
	g_assert_cmpuint(get(info, 48, 4), ==, 3);
	map = at(f, get(info, 40, 8), 3 * 24);
	g_assert_cmphex(get(map, 0, 8), ==, 0);
	g_assert_cmphex(get(map, 8, 8), ==, 0x9fc00);
	g_assert_cmpuint(get(map, 16, 4), ==, 1);
	g_assert_cmphex(get(map, 24, 8), ==, 0xe0000);
	g_assert_cmphex(get(map, 32, 8), ==, 0x20000);
	g_assert_cmpuint(get(map, 40, 4), ==, 3);
	g_assert_cmphex(get(map, 48, 8), ==, 0x100000);
	g_assert_cmphex(get(map, 56, 8), ==, 63 * 0x100000);
	g_assert_cmpuint(get(map, 64, 4), ==, 1);
}

static void assert_long_mode(const struct kvm_sregs *sregs)
{
	g_assert_cmphex(sregs->cr0 & 0x80000001, ==, 0x80000001);
	g_assert_cmphex(sregs->cr4, ==, 0x20);
	g_assert_cmphex(sregs->efer, ==, 0x500);
	g_assert_true(sregs->cs.l && !sregs->cs.db);
	/* boot.rst: __BOOT_CS and __BOOT_DS. */
	g_assert_cmphex(sregs->cs.selector, ==, 0x10);
	g_assert_cmphex(sregs->ds.selector, ==, 0x18);
}

/* Follows the page tables as the processor does (SDM 3A 4.5). */
static uint64_t translate(Fixture *f, uint64_t cr3, uint64_t address)
{
	uint64_t table = cr3;

	for (int shift = 39; shift >= 21; shift -= 9) {
		uint64_t entry = get(at(f, table, 4096), (address >> shift) % 512 * 8, 8);

		g_assert_cmphex(entry & 3, ==, 3);
		if (shift == 21) {
			g_assert_cmphex(entry & 0x80, ==, 0x80);
			return (entry & ~UINT64_C(0x1fffff)) | (address & 0x1fffff);
		}
		table = entry & ~UINT64_C(0xfff);
	}
	g_assert_not_reached();
}

static void test_long_mode(Fixture *f, gconstpointer data)
{
	static const uint64_t addresses[] = {0,		 0x7000,     0x1000020,
					     0x7fffffff, 0xfee00000, 0xffffffff};
	const uint8_t *gdt, *zero;
	struct kvm_sregs sregs = {0};
	struct kvm_regs regs;

	(void)data;
	write_elf(f, false);
	write_file(f->initrd, "initrd!", 7);
	guest_memory_destroy(f->memory);
	f->memory = guest_memory_create(5 * LAYOUT_GIB, NULL);
	g_assert_true(load(f, f->initrd, "a b"));
	assert_elf_in_memory(f);
	boot_entry_state(&f->entry, &regs, &sregs);
	g_assert_cmphex(regs.rip, ==, 0x1000020);
	assert_long_mode(&sregs);
	for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++)
		g_assert_cmphex(translate(f, sregs.cr3, addresses[i]), ==, addresses[i]);
	gdt = at(f, sregs.gdt.base, sregs.gdt.limit + 1u);
	g_assert_cmphex(get(gdt, 0x10, 8), ==, 0x00af9b000000ffff);
	g_assert_cmphex(get(gdt, 0x18, 8), ==, 0x00cf93000000ffff);

	/* Documentation/arch/x86/zero-page.rst */
	zero = at(f, regs.rsi, 4096);
	g_assert_cmphex(get(zero, 0x70, 8), ==, 0xe0000);
	g_assert_cmphex(get(zero, 0x202, 4), ==, 0x53726448);
	g_assert_cmphex(zero[0x210], ==, 0xff);
	g_assert_cmpstr((const char *)at(f, get(zero, 0x228, 4), 16), ==, "reboot=acpi a b");
	/* As high as RAM below the hole goes. */
	g_assert_cmphex(get(zero, 0x218, 4), ==, 0xbffff000);
	g_assert_cmpuint(get(zero, 0x21c, 4), ==, 7);
	g_assert_cmpuint(zero[0x1e8], ==, 4);
	g_assert_cmphex(get(zero, 0x2d0, 8), ==, 0);
	g_assert_cmphex(get(zero, 0x2d0 + 40, 8), ==, 0x100000);
	g_assert_cmphex(get(zero, 0x2d0 + 48, 8), ==, 0xc0000000 - 0x100000);
	g_assert_cmphex(get(zero, 0x2d0 + 60, 8), ==, 0x100000000);
	g_assert_cmphex(get(zero, 0x2d0 + 68, 8), ==, 0x80000000);
	g_assert_cmpuint(get(zero, 0x2d0 + 76, 4), ==, 1);
}

static void test_unpacked(Fixture *f, gconstpointer data)
{
	uint8_t elf[ELF_SIZE];
	size_t size;

	(void)data;
	write_zstd_bzimage(f, 0, 0, 0);
	g_assert_true(load(f, NULL, ""));
	assert_elf_in_memory(f);
	g_assert_cmpint(f->entry.mode, ==, BOOT_MODE_PVH);
	g_assert_cmphex(f->entry.rip, ==, 0x1000010);

	make_elf(elf);
	elf[ELF_XEN_NOTE + 8] = 6; /* no PVH: the image's own header reaches the zero page */
	g_autofree uint8_t *payload = pack_gzip(elf, sizeof(elf), &size);
	write_bzimage(f, payload, size, 0, 0, 0);
	g_assert_true(load(f, NULL, ""));
	assert_elf_in_memory(f);
	g_assert_cmpint(f->entry.mode, ==, BOOT_MODE_LONG);
	g_assert_cmphex(f->entry.rip, ==, 0x1000020);
	g_assert_cmphex(get(at(f, f->entry.info, 4096), 0x206, 2), ==, 0x20f);
	g_assert_cmphex(get(at(f, f->entry.info, 4096), 0x260, 4), ==, 0x800000);
}

/* A compression that umbra does not know: the image is entered and unpacks itself. */
static void test_own_entry(Fixture *f, gconstpointer data)
{
	static const char payload[] = "\xfd"
				      "7zXZ and so on, and the size ";
	const uint8_t *zero;

	(void)data;
	write_bzimage(f, payload, sizeof(payload), 0, 0, 0);
	write_file(f->initrd, "initrd!", 7);
	g_assert_true(load(f, f->initrd, ""));
	g_assert_cmpint(f->entry.mode, ==, BOOT_MODE_LONG);
	g_assert_cmphex(f->entry.rip, ==, 0x1000200);
	g_assert_cmphex(*at(f, 0x1000200, 1), ==, 0x33);
	g_assert_cmpmem(at(f, 0x1000300, 30), 30, payload, 30);
	zero = at(f, f->entry.info, 4096);
	g_assert_cmphex(get(zero, 0x202, 4), ==, 0x53726448);
	g_assert_cmphex(get(zero, 0x1fe, 2), ==, 0xaa55);
	g_assert_cmphex(zero[0x210], ==, 0xff);
	g_assert_cmphex(get(zero, 0x258, 8), ==, 0x1000000);
	g_assert_cmphex(get(zero, 0x218, 4), ==, 0x3fff000);
}

int main(int argc, char **argv)
{
	static const BootTest tests[] = {
		{"pvh", test_pvh},
		{"long-mode", test_long_mode},
		{"unpacked", test_unpacked},
		{"own-entry", test_own_entry},
	};

	return run_boot_tests(argc, argv, tests, G_N_ELEMENTS(tests), "/dev/null");
}
