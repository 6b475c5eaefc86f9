// SPDX-License-Identifier: MIT
/*
 * Serial input, by interrupt through the I/O APIC that the MADT names: sleeps
 * until bytes come, sends each back, ends at a 'q'. No polling: an interrupt
 * that is lost is input that is never echoed.
 */
#include "rt.h"

const char guest_name[] = "echo";

#define LAPIC	       0xfee00000
#define LAPIC_ID       (LAPIC + 0x20)
#define LAPIC_EOI      (LAPIC + 0xb0)
#define LAPIC_SPURIOUS (LAPIC + 0xf0)
#define VECTOR	       0x24
#define SERIAL	       UMBRA_TEST_SERIAL_PORT

/* Filled by the interrupt, emptied with interrupts off. */
static volatile uint8_t queue[4096];
static volatile unsigned n_queued;

static void mmio_write(uint64_t address, uint32_t value)
{
	*(volatile uint32_t *)at(address) = value;
}

/* What does not fit stays in the UART. */
static void drain(void)
{
	while (n_queued < sizeof(queue) && (in8(SERIAL + 5) & 1))
		queue[n_queued++] = in8(SERIAL);
}

static void on_serial(InterruptFrame *frame)
{
	(void)frame;
	drain();
	mmio_write(LAPIC_EOI, 0);
}

static uint32_t find_ioapic(const BootInfo *boot)
{
	const uint8_t *madt = acpi_find(boot, "APIC");
	uint32_t length, address = 0;

	if (!madt)
		wrong("no MADT");
	memcpy(&length, madt + 4, sizeof(length));
	for (uint32_t i = 44; i + 2 <= length && madt[i + 1] >= 2; i += madt[i + 1])
		if (madt[i] == 1)
			memcpy(&address, madt + i + 4, sizeof(address));
	if (!address)
		wrong("no I/O APIC in the MADT");
	return address;
}

static void set_up(const BootInfo *boot)
{
	uint32_t ioapic = find_ioapic(boot);
	uint32_t own = *(volatile uint32_t *)at(LAPIC_ID);

	set_handler(VECTOR, on_serial);
	mmio_write(LAPIC_SPURIOUS, 0x1ff);
	mmio_write(ioapic, 0x10 + 2 * UMBRA_TEST_SERIAL_GSI + 1);
	mmio_write(ioapic + 0x10, own);
	mmio_write(ioapic, 0x10 + 2 * UMBRA_TEST_SERIAL_GSI);
	mmio_write(ioapic + 0x10, VECTOR); /* fixed, physical, edge, active high, not masked */
	out8(SERIAL + 3, 3);		   /* 8n1 */
	out8(SERIAL + 2, 7);		   /* FIFOs on and empty */
	out8(SERIAL + 4, 0x0b);		   /* DTR, RTS, OUT2 (interrupt enable) */
	out8(SERIAL + 1, 1);		   /* received data */
}

void guest_main(const BootInfo *boot)
{
	set_up(boot);
	say("ready");
	for (;;) {
		for (unsigned i = 0; i < n_queued; i++) {
			if (queue[i] == 'q') {
				put_char('\n');
				return;
			}
			put_char((char)queue[i]);
		}
		n_queued = 0;
		drain();
		/* Asleep and interruptible in one step: nothing can come in between. */
		if (!n_queued)
			__asm__ volatile("sti; hlt; cli" ::: "memory");
	}
}
