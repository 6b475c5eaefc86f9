// SPDX-License-Identifier: MIT
/*
 * ACPI tables, read back as a guest would: from the root pointer on, each
 * address followed, each checksum added up. Offsets are those of ACPI 6.4, 5.2.
 */
#include "base/error.h"
#include "base/layout.h"
#include "boot/acpi.h"
#include "boot_images.h"

static const uint8_t *table_at(GuestMemory *memory, uint64_t gpa, const char *signature)
{
	const uint8_t *table = guest_memory_at(memory, gpa, 36);
	uint64_t length;
	uint8_t sum = 0;

	g_assert_nonnull(table);
	g_assert_cmpmem(table, 4, signature, 4);
	length = get(table, 4, 4);
	g_assert_cmpuint(length, >=, 36);
	/* In the area that the memory map keeps from the guest's allocator. */
	g_assert_cmphex(gpa, >=, 0xe0000);
	g_assert_cmphex(gpa + length, <=, 0x100000);
	for (uint64_t i = 0; i < length; i++)
		sum += table[i];
	g_assert_cmphex(sum, ==, 0);
	return table;
}

typedef struct Fixture {
	GuestMemory *memory;
	const uint8_t *fadt, *madt, *dsdt;
} Fixture;

static void build(Fixture *fixture, unsigned cpus)
{
	g_autoptr(GError) error = NULL;
	const uint8_t *rsdp, *xsdt;
	uint64_t at = 0;
	uint8_t sum = 0;

	fixture->memory = guest_memory_create(64 * LAYOUT_MIB, NULL);
	g_assert_true(acpi_build(fixture->memory, cpus, &at, &error));
	g_assert_no_error(error);
	g_assert_cmphex(at % 16, ==, 0);
	rsdp = guest_memory_at(fixture->memory, at, 36);
	g_assert_cmpmem(rsdp, 8, "RSD PTR ", 8);
	for (unsigned i = 0; i < 20; i++)
		sum += rsdp[i];
	g_assert_cmphex(sum, ==, 0);
	for (unsigned i = 20; i < 36; i++)
		sum += rsdp[i];
	g_assert_cmphex(sum, ==, 0);
	g_assert_cmpuint(rsdp[15], ==, 2);
	g_assert_cmpuint(get(rsdp, 20, 4), ==, 36);
	xsdt = table_at(fixture->memory, get(rsdp, 24, 8), "XSDT");
	g_assert_cmpuint(get(xsdt, 4, 4), ==, 36 + 2 * 8);
	fixture->fadt = table_at(fixture->memory, get(xsdt, 36, 8), "FACP");
	fixture->madt = table_at(fixture->memory, get(xsdt, 44, 8), "APIC");
	fixture->dsdt = table_at(fixture->memory, get(fixture->fadt, 140, 8), "DSDT");
}

static void test_fadt(void)
{
	Fixture f;

	build(&f, 1);
	g_assert_cmpuint(get(f.fadt, 4, 4), ==, 276);
	g_assert_cmpuint(f.fadt[8], ==, 6); /* revision */
	g_assert_cmphex(get(f.fadt, 40, 4), ==, get(f.fadt, 140, 8));
	g_assert_cmpuint(get(f.fadt, 46, 2), ==, 0);	/* no SCI */
	g_assert_cmphex(get(f.fadt, 109, 2), ==, 0x24); /* no VGA, no CMOS RTC; no 8042 */
	/* WBINVD, no fixed power and sleep buttons nor RTC, reset register, reduced hardware. */
	g_assert_cmphex(get(f.fadt, 112, 4), ==, 0x00100471);
	/* Registers: port space, 8 bits, byte access, address. */
	g_assert_cmphex(get(f.fadt, 116, 4), ==, 0x01000801);
	g_assert_cmphex(get(f.fadt, 120, 8), ==, 0x604);
	g_assert_cmphex(f.fadt[128], ==, 1);
	g_assert_cmphex(get(f.fadt, 244, 4), ==, 0x01000801);
	g_assert_cmphex(get(f.fadt, 248, 8), ==, 0x600);
	g_assert_cmphex(get(f.fadt, 256, 4), ==, 0x01000801);
	g_assert_cmphex(get(f.fadt, 260, 8), ==, 0x600);
	/* No PM1, PM timer, GPE block, neither old nor extended. */
	for (unsigned i = 48; i < 109; i++)
		g_assert_cmphex(f.fadt[i], ==, 0);
	for (unsigned i = 148; i < 244; i++)
		g_assert_cmphex(f.fadt[i], ==, 0);
	guest_memory_destroy(f.memory);
}

static void test_madt(void)
{
	static const unsigned counts[] = {1, 2, 254};

	for (size_t c = 0; c < G_N_ELEMENTS(counts); c++) {
		unsigned cpus = 0, io_apics = 0;
		Fixture f;

		build(&f, counts[c]);
		g_assert_cmphex(get(f.madt, 36, 4), ==, 0xfee00000);
		g_assert_cmphex(get(f.madt, 40, 4), ==, 0); /* no PIC */
		for (size_t at = 44; at < get(f.madt, 4, 4); at += f.madt[at + 1]) {
			if (f.madt[at] == 1) {
				g_assert_cmpuint(f.madt[at + 1], ==, 12);
				g_assert_cmphex(get(f.madt, at + 4, 4), ==, 0xfec00000);
				g_assert_cmpuint(get(f.madt, at + 8, 4), ==, 0);
				io_apics++;
				continue;
			}
			g_assert_cmpuint(f.madt[at], ==, 0);
			g_assert_cmpuint(f.madt[at + 1], ==, 8);
			g_assert_cmpuint(f.madt[at + 2], ==, cpus);
			g_assert_cmpuint(f.madt[at + 3], ==, cpus);
			g_assert_cmphex(get(f.madt, at + 4, 4), ==, 1);
			cpus++;
		}
		g_assert_cmpuint(io_apics, ==, 1);
		g_assert_cmpuint(cpus, ==, counts[c]);
		guest_memory_destroy(f.memory);
	}
}

static bool holds(const uint8_t *table, const void *bytes, size_t size)
{
	return memmem(table + 36, get(table, 4, 4) - 36, bytes, size) != NULL;
}

/* AML by hand (ACPI 6.4, 20.2): what a guest looks for must be there byte by byte. */
static void test_dsdt(void)
{
	/* Name (_S5, Package () { 5, 0, 0, 0 }) */
	static const uint8_t s5[] = {0x08, '_', 'S', '5', '_', 0x12, 7, 4, 0x0a, 5, 0, 0, 0};
	/* EISA ids: 0x0501d041 is PNP0501, 0x0c0cd041 PNP0C0C, both big-endian. */
	static const uint8_t serial[] = {'_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x05, 0x01};
	static const uint8_t button[] = {'_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x0c, 0x0c};
	static const uint8_t event[] = "_HID\x0d"
				       "ACPI0013";
	/* IO, 16 bits decoded, 0x3f8 to 0x3f8, alignment 1, 8 ports. */
	static const uint8_t ports[] = {0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8};
	/* Extended interrupt: consumer, edge, active high, exclusive; one. */
	static const uint8_t gsi4[] = {0x89, 6, 0, 3, 1, 4, 0, 0, 0};
	static const uint8_t gsi9[] = {0x89, 6, 0, 3, 1, 9, 0, 0, 0};
	/* OperationRegion (PORT, SystemIO, 0x608, 1) */
	static const uint8_t region[] = {0x5b, 0x80, 'P', 'O', 'R', 'T', 1, 0x0b, 8, 6, 1};
	/* Notify (PWRB, 0x80) */
	static const uint8_t notify[] = {0x86, 'P', 'W', 'R', 'B', 0x0a, 0x80};
	Fixture f;

	build(&f, 1);
	g_assert_cmpuint(f.dsdt[8], ==, 2); /* 64-bit integers */
	g_assert_true(holds(f.dsdt, s5, sizeof(s5)));
	g_assert_true(holds(f.dsdt, serial, sizeof(serial)));
	g_assert_true(holds(f.dsdt, button, sizeof(button)));
	g_assert_true(holds(f.dsdt, event, sizeof(event)));
	g_assert_true(holds(f.dsdt, ports, sizeof(ports)));
	g_assert_true(holds(f.dsdt, gsi4, sizeof(gsi4)));
	g_assert_true(holds(f.dsdt, gsi9, sizeof(gsi9)));
	g_assert_true(holds(f.dsdt, region, sizeof(region)));
	g_assert_true(holds(f.dsdt, notify, sizeof(notify)));
	guest_memory_destroy(f.memory);
}

static void test_refused(void)
{
	g_autoptr(GuestMemory) memory = guest_memory_create(64 * LAYOUT_MIB, NULL);
	uint64_t rsdp = 7;

	for (unsigned cpus = 0; cpus <= 255; cpus += 255) {
		g_autoptr(GError) error = NULL;

		g_assert_false(acpi_build(memory, cpus, &rsdp, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_USAGE);
		g_assert_cmpuint(rsdp, ==, 7);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/acpi/fadt", test_fadt);
	g_test_add_func("/acpi/madt", test_madt);
	g_test_add_func("/acpi/dsdt", test_dsdt);
	g_test_add_func("/acpi/refused", test_refused);
	return g_test_run();
}
