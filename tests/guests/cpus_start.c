// SPDX-License-Identifier: MIT
#include "cpus_start.h"

#define LAPIC	       0xfee00000
#define LAPIC_ID       (LAPIC + 0x20)
#define LAPIC_SPURIOUS (LAPIC + 0xf0)
#define LAPIC_ICR_LOW  (LAPIC + 0x300)
#define LAPIC_ICR_HIGH (LAPIC + 0x310)
#define ICR_INIT       0x4500
#define ICR_STARTUP    0x4600
#define TRAMPOLINE     0x10000UL   /* start-up vector 0x10 */
#define PATIENCE       (1UL << 34) /* TSC ticks */

/* cpus_ap.S */
extern const char ap_trampoline[], ap_trampoline_end[];
extern void (*volatile ap_entry)(void);
extern void *volatile ap_stack;

static void lapic_write(uint64_t address, uint32_t value)
{
	*(volatile uint32_t *)at(address) = value;
}

static uint64_t ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

uint8_t cpus_own_id(void)
{
	return (uint8_t)(*(volatile uint32_t *)at(LAPIC_ID) >> 24);
}

unsigned cpus_find(const BootInfo *boot, uint8_t ret_ids[CPUS_IDS])
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
		if (n == CPUS_IDS)
			wrong("more than %u processors", (uint64_t)CPUS_IDS);
		ret_ids[n++] = madt[i + 3];
	}
	return n;
}

void cpus_prepare(void)
{
	memcpy(at(TRAMPOLINE), ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	lapic_write(LAPIC_SPURIOUS, 0x1ff);
}

void cpus_start(uint8_t id, void (*entry)(void), void *top)
{
	ap_entry = entry;
	ap_stack = top;
	lapic_write(LAPIC_ICR_HIGH, (uint32_t)id << 24);
	lapic_write(LAPIC_ICR_LOW, ICR_INIT);
	lapic_write(LAPIC_ICR_HIGH, (uint32_t)id << 24);
	lapic_write(LAPIC_ICR_LOW, ICR_STARTUP | TRAMPOLINE >> 12);
}

void cpus_await(unsigned n)
{
	for (uint64_t begin = ticks(); ap_count < n && ticks() - begin < PATIENCE;)
		__asm__ volatile("pause");
}
