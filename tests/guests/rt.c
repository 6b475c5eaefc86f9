// SPDX-License-Identifier: MIT
#include "rt.h"

#include <stdarg.h>

typedef struct IdtGate {
	uint16_t offset_low, selector, flags, offset_mid;
	uint32_t offset_high, reserved;
} IdtGate;

typedef struct __attribute__((packed)) TablePointer {
	uint16_t limit;
	uint64_t base;
} TablePointer;

#define RFLAGS_IF 0x200

extern uint64_t gdt[];
extern const char interrupt_stubs[];
extern char stack_top[];
extern uint64_t page_directory_pointers[];
void rt_main(uint32_t kind, const void *info);
volatile uint64_t *view_page(uint64_t address)
{
	static uint64_t window[512] __attribute__((aligned(4096)));
	const uint64_t offset = address % (1UL << 21);
	volatile uint64_t *view = at((4UL << 30) + offset);

	window[0] = (address - offset) | 0xe7;
	page_directory_pointers[4] = (uint64_t)window | 0x27;
	__asm__ volatile("invlpg (%0)" ::"r"(view) : "memory");
	return view;
}

void rt_interrupt(InterruptFrame *frame);
void rt_read_boot_info(uint32_t kind, const void *info, BootInfo *ret_boot);

static IdtGate idt[INTERRUPT_VECTORS];
static uint32_t tss[26];
static InterruptHandler *handlers[INTERRUPT_VECTORS];

void put_char(char c)
{
	while (!(in8(UMBRA_TEST_SERIAL_PORT + 5) & 0x20))
		__asm__ volatile("pause");
	out8(UMBRA_TEST_SERIAL_PORT, (uint8_t)c);
}

static void put_text(const char *text)
{
	while (*text)
		put_char(*text++);
}

static void put_number(uint64_t value, unsigned base)
{
	char digits[24];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put_char(digits[--n]);
}

static void put_format(const char *format, va_list values)
{
	for (; *format; format++) {
		if (*format != '%') {
			put_char(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			put_text(va_arg(values, const char *));
			break;
		case 'c':
			put_char((char)va_arg(values, int));
			break;
		case 'x':
			put_text("0x");
			put_number(va_arg(values, uint64_t), 16);
			break;
		default:
			put_number(va_arg(values, uint64_t), 10);
		}
	}
}

void say(const char *format, ...)
{
	va_list values;

	put_text(guest_name);
	put_text(": ");
	va_start(values, format);
	put_format(format, values);
	va_end(values);
	put_char('\n');
}

void wrong(const char *format, ...)
{
	va_list values;

	put_text(guest_name);
	put_text(": WRONG: ");
	va_start(values, format);
	put_format(format, values);
	va_end(values);
	put_char('\n');
	power_off();
}

void say_now(void)
{
	say("now");
}

void halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

void power_off(void)
{
	out8(UMBRA_TEST_SLEEP_PORT, UMBRA_TEST_SLEEP_VALUE);
	halt_forever();
}

void set_handler(unsigned vector, InterruptHandler *handler)
{
	handlers[vector] = handler;
}

void set_ring0_stack(void *top)
{
	tss[1] = (uint32_t)(uint64_t)top;
	tss[2] = (uint32_t)((uint64_t)top >> 32);
}

void rt_interrupt(InterruptFrame *frame)
{
	uint64_t cr2;

	if (handlers[frame->vector]) {
		handlers[frame->vector](frame);
		return;
	}
	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	wrong("exception %u error %x rip %x cr2 %x", frame->vector, frame->error, frame->rip, cr2);
}

void enter_ring3(void (*entry)(void), void *stack)
{
	uint64_t flags;

	__asm__ volatile("pushfq; pop %0" : "=r"(flags));
	/* As at the entry of a called function: 8 bytes below a multiple of 16. */
	__asm__ volatile(
		"push %0; push %1; push %2; push %3; push %4; iretq" ::"i"(SELECTOR_USER_DATA),
		"r"((uint64_t)stack - 8), "r"((flags & RFLAGS_IF) | 0x2), "i"(SELECTOR_USER_CODE),
		"r"(entry));
	__builtin_unreachable();
}

static void set_up_interrupts(void)
{
	uint64_t base = (uint64_t)tss;
	TablePointer pointer = {sizeof(idt) - 1, (uint64_t)idt};

	for (unsigned i = 0; i < INTERRUPT_VECTORS; i++) {
		uint64_t stub = (uint64_t)interrupt_stubs + 16 * i;
		idt[i] = (IdtGate){.offset_low = (uint16_t)stub,
				   .selector = SELECTOR_CODE,
				   .flags = 0x8e00, /* present, ring 0, interrupt gate, no IST */
				   .offset_mid = (uint16_t)(stub >> 16),
				   .offset_high = (uint32_t)(stub >> 32)};
	}
	__asm__ volatile("lidt %0" ::"m"(pointer));

	/* A present 64-bit TSS of 104 bytes, without an I/O permission map. */
	tss[25] = sizeof(tss) << 16;
	set_ring0_stack(stack_top);
	gdt[SELECTOR_TSS / 8] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89UL << 40 |
				(base >> 24 & 0xff) << 56;
	gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
	__asm__ volatile("ltr %w0" ::"r"(SELECTOR_TSS));
}

void rt_main(uint32_t kind, const void *info)
{
	static BootInfo boot;

	set_up_interrupts();
	rt_read_boot_info(kind, info, &boot);
	guest_main(&boot);
	say("done");
	power_off();
}

void *memcpy(void *to, const void *from, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
	return to;
}

void *memset(void *to, int byte, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((volatile uint8_t *)to)[i] = (uint8_t)byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		int difference = ((const uint8_t *)a)[i] - ((const uint8_t *)b)[i];
		if (difference)
			return difference;
	}
	return 0;
}
