// SPDX-License-Identifier: MIT
/*
 * Every processor that the MADT lists starts by INIT-SIPI, and none besides; each
 * has the APIC id that the MADT gives it.
 */
#include "rt.h"

const char guest_name[] = "cpus";

#define LAPIC	       0xfee00000
#define LAPIC_ID       (LAPIC + 0x20)
#define LAPIC_SPURIOUS (LAPIC + 0xf0)
#define LAPIC_ICR_LOW  (LAPIC + 0x300)
#define LAPIC_ICR_HIGH (LAPIC + 0x310)
#define ICR_INIT       0x4500
#define ICR_STARTUP    0x4600
#define TRAMPOLINE     0x10000UL /* start-up vector 0x10 */
#define IDS	       256
#define PATIENCE       (1UL << 34) /* TSC ticks */

/* cpus_ap.S */
extern const char ap_trampoline[], ap_trampoline_end[];
extern volatile uint32_t ap_count;
extern volatile uint64_t ap_seen[IDS / 64];

static void lapic_write(uint64_t address, uint32_t value)
{
	*(volatile uint32_t *)at(address) = value;
}

static uint32_t lapic_read(uint64_t address)
{
	return *(volatile uint32_t *)at(address);
}

static uint64_t ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* Fills in the APIC ids of the enabled processors, and returns how many there are. */
static unsigned read_madt(const BootInfo *boot, uint8_t ids[IDS])
{
	const uint8_t *madt = acpi_find(boot, "APIC");
	uint32_t length;
	unsigned n = 0;

	if (!madt)
		wrong("no MADT");
	memcpy(&length, madt + 4, sizeof(length));
	for (uint32_t i = 44; i + 2 <= length && madt[i + 1] >= 2; i += madt[i + 1]) {
		if (madt[i] == 9)
			wrong("an x2APIC entry where xAPIC ids do");
		if (madt[i] != 0 || !(madt[i + 4] & 1))
			continue;
		if (n == IDS)
			wrong("more than %u processors", (uint64_t)IDS);
		ids[n++] = madt[i + 3];
	}
	return n;
}

static void start(uint8_t id)
{
	lapic_write(LAPIC_ICR_HIGH, (uint32_t)id << 24);
	lapic_write(LAPIC_ICR_LOW, ICR_INIT);
	lapic_write(LAPIC_ICR_HIGH, (uint32_t)id << 24);
	lapic_write(LAPIC_ICR_LOW, ICR_STARTUP | TRAMPOLINE >> 12);
}

void guest_main(const BootInfo *boot)
{
	static uint8_t ids[IDS];
	unsigned n = read_madt(boot, ids);
	uint8_t own = (uint8_t)(lapic_read(LAPIC_ID) >> 24);

	say("madt %u", (uint64_t)n);
	memcpy(at(TRAMPOLINE), ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	lapic_write(LAPIC_SPURIOUS, 0x1ff);
	for (unsigned i = 0; i < n; i++)
		if (ids[i] != own)
			start(ids[i]);
	for (uint64_t begin = ticks(); ap_count < n - 1 && ticks() - begin < PATIENCE;)
		__asm__ volatile("pause");
	say("running %u", (uint64_t)ap_count + 1);
	for (unsigned i = 0; i < n; i++)
		if (ids[i] != own && !(ap_seen[ids[i] / 64] >> (ids[i] % 64) & 1))
			wrong("APIC id %u did not start", (uint64_t)ids[i]);
	if (ap_count != n - 1)
		wrong("%u processors too many", (uint64_t)(ap_count - (n - 1)));
}
