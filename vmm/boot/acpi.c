// SPDX-License-Identifier: MIT
/*
 * Numbers of tables and offsets are those of ACPI 6.4, chapter 5.2.
 *
 * Each flag below spares the guest something: a stock kernel that is not told
 * that there is no CMOS RTC waits a second for it, and one that expects legacy
 * devices probes PIC, PIT, i8042 and VGA by ports that nobody answers.
 */
#include "boot/acpi.h"

#include "base/error.h"
#include "base/layout.h"
#include "boot/dsdt.hex"

#include <stddef.h>
#include <string.h>

#define PACKED __attribute__((packed))

/* 5.2.12.2, 5.2.12.3: what a MADT has. */
#define MADT_LOCAL_APIC		0
#define MADT_IO_APIC		1
#define MADT_LOCAL_APIC_ENABLED 1

/* 5.2.9, table 5.10: boot architecture flags. Left 0: legacy devices, i8042. */
#define BOOT_NO_VGA	 (1 << 2)
#define BOOT_NO_CMOS_RTC (1 << 5)

/* 5.2.9, table 5.9. */
#define FADT_WBINVD	      (1 << 0)	/* the instruction works, as on every x86-64 */
#define FADT_NO_FIXED_POWER   (1 << 4)	/* the power button is a device in the DSDT */
#define FADT_NO_FIXED_SLEEP   (1 << 5)	/* there is no sleep button */
#define FADT_NO_FIXED_RTC     (1 << 6)	/* no wake-up by an RTC */
#define FADT_RESET_REGISTER   (1 << 10) /* the reset register may be used */
#define FADT_HARDWARE_REDUCED (1 << 20) /* no SCI, PM timer, PM1 and GPE blocks */

struct PACKED header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum; /* all bytes of the table add up to 0 */
	char oem[6];
	char oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
};

struct PACKED rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes, those of revision 0 */
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t checksum_all;
	uint8_t reserved[3];
};

/* 5.2.3.2: generic address structure. */
struct PACKED address {
	uint8_t space; /* 1: port */
	uint8_t bits;
	uint8_t bit_offset;
	uint8_t access; /* 1: byte */
	uint64_t address;
};

struct PACKED fadt {
	struct header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t int_model;
	uint8_t profile; /* 0: unspecified */
	uint16_t sci;
	uint8_t legacy[61]; /* SMI command, PM1, PM timer and GPE blocks, latencies, RTC */
	uint16_t boot_flags;
	uint8_t reserved;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor_revision;
	uint64_t x_facs;
	uint64_t x_dsdt;
	struct address x_legacy[8];
	struct address sleep_control;
	struct address sleep_status;
	uint64_t hypervisor;
};

struct PACKED madt {
	struct header header;
	uint32_t local_apic;
	uint32_t flags; /* bit 0, a pair of 8259s, is not set */
};

struct PACKED local_apic {
	uint8_t type, length;
	uint8_t processor, id;
	uint32_t flags;
};

struct PACKED io_apic {
	uint8_t type, length;
	uint8_t id, reserved;
	uint32_t address;
	uint32_t first_gsi;
};

G_STATIC_ASSERT(sizeof(struct header) == 36);
G_STATIC_ASSERT(sizeof(struct rsdp) == 36);
G_STATIC_ASSERT(offsetof(struct fadt, boot_flags) == 109);
G_STATIC_ASSERT(offsetof(struct fadt, sleep_control) == 244);
G_STATIC_ASSERT(sizeof(struct fadt) == 276);

/* The tables lie one behind the other; `next` is where there is room. */
typedef struct Tables {
	GuestMemory *memory;
	uint64_t next;
} Tables;

static uint8_t checksum(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint8_t sum = 0;

	while (size-- > 0)
		sum += *at++;
	return (uint8_t)-sum;
}

static void fill_header(struct header *header, const char *signature, uint8_t revision, size_t size)
{
	memcpy(header->signature, signature, sizeof(header->signature));
	header->length = (uint32_t)size;
	header->revision = revision;
	memcpy(header->oem, "UMBRA", sizeof("UMBRA"));
	memcpy(header->oem_table, "UMBRA", sizeof("UMBRA"));
	header->oem_revision = 1;
	memcpy(header->creator, "UMBR", sizeof(header->creator));
	header->creator_revision = 1;
}

/* Copies a table behind the others and returns its address. The largest set fits: see acpi_build().
 */
static uint64_t put(Tables *tables, const void *table, size_t size)
{
	uint64_t at = tables->next;

	tables->next += (size + 15) / 16 * 16;
	guest_memory_write(tables->memory, at, table, size);
	return at;
}

static uint64_t put_checked(Tables *tables, struct header *header)
{
	header->checksum = 0;
	header->checksum = checksum(header, header->length);
	return put(tables, header, header->length);
}

static uint64_t put_fadt(Tables *tables, uint64_t dsdt)
{
	struct fadt fadt = {
		.dsdt = (uint32_t)dsdt,
		.x_dsdt = dsdt,
		.boot_flags = BOOT_NO_VGA | BOOT_NO_CMOS_RTC,
		.flags = FADT_WBINVD | FADT_NO_FIXED_POWER | FADT_NO_FIXED_SLEEP |
			 FADT_NO_FIXED_RTC | FADT_RESET_REGISTER | FADT_HARDWARE_REDUCED,
		.reset = {.space = 1, .bits = 8, .access = 1, .address = LAYOUT_ACPI_RESET},
		.reset_value = LAYOUT_ACPI_RESET_VALUE,
		.minor_revision = 4,
		.sleep_control = {.space = 1, .bits = 8, .access = 1, .address = LAYOUT_ACPI_SLEEP},
		.sleep_status = {.space = 1, .bits = 8, .access = 1, .address = LAYOUT_ACPI_SLEEP},
	};

	fill_header(&fadt.header, "FACP", 6, sizeof(fadt));
	memcpy(&fadt.hypervisor, "umbra", sizeof("umbra"));
	return put_checked(tables, &fadt.header);
}

static uint64_t put_madt(Tables *tables, unsigned cpus)
{
	struct PACKED {
		struct madt madt;
		struct io_apic io_apic;
		struct local_apic local_apics[LAYOUT_CPUS_MAX];
	} table = {
		.madt.local_apic = LAYOUT_LAPIC,
		.io_apic =
			{
				.type = MADT_IO_APIC,
				.length = sizeof(struct io_apic),
				.address = LAYOUT_IOAPIC,
			},
	};

	for (unsigned i = 0; i < cpus; i++)
		table.local_apics[i] = (struct local_apic){
			.type = MADT_LOCAL_APIC,
			.length = sizeof(struct local_apic),
			.processor = (uint8_t)i,
			.id = (uint8_t)i,
			.flags = MADT_LOCAL_APIC_ENABLED,
		};
	fill_header(&table.madt.header, "APIC", 5,
		    offsetof(typeof(table), local_apics) + cpus * sizeof(struct local_apic));
	return put_checked(tables, &table.madt.header);
}

static uint64_t put_xsdt(Tables *tables, uint64_t fadt, uint64_t madt)
{
	struct PACKED {
		struct header header;
		uint64_t tables[2];
	} xsdt = {.tables = {fadt, madt}};

	fill_header(&xsdt.header, "XSDT", 1, sizeof(xsdt));
	return put_checked(tables, &xsdt.header);
}

bool acpi_build(GuestMemory *memory, unsigned cpus, uint64_t *ret_rsdp, GError **error)
{
	Tables tables = {.memory = memory, .next = LAYOUT_ACPI};
	struct rsdp rsdp = {.signature = "RSD PTR ", .revision = 2, .length = sizeof(rsdp)};
	uint64_t dsdt, fadt, madt;

	G_STATIC_ASSERT(sizeof(dsdt_aml_code) + LAYOUT_CPUS_MAX * sizeof(struct local_apic) +
				4 * LAYOUT_KIB <
			LAYOUT_ACPI_MAX);
	if (cpus == 0 || cpus > LAYOUT_CPUS_MAX)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "%u vCPUs: 1 to %d can be described",
				  cpus, LAYOUT_CPUS_MAX);
	tables.next += 64; /* the RSDP comes first, and knows the others */
	dsdt = put(&tables, dsdt_aml_code, sizeof(dsdt_aml_code));
	fadt = put_fadt(&tables, dsdt);
	madt = put_madt(&tables, cpus);
	rsdp.xsdt = put_xsdt(&tables, fadt, madt);
	memcpy(rsdp.oem, "UMBRA", sizeof("UMBRA"));
	rsdp.checksum = checksum(&rsdp, offsetof(struct rsdp, length));
	rsdp.checksum_all = checksum(&rsdp, sizeof(rsdp));
	guest_memory_write(memory, LAYOUT_ACPI, &rsdp, sizeof(rsdp));
	*ret_rsdp = LAYOUT_ACPI;
	return true;
}
