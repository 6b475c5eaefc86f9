// SPDX-License-Identifier: MIT
#include "inspect/machine_text.h"

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Field {
	const char *name;
	size_t offset;
} Field;

#define REG(name)                                      \
	{                                              \
#name, offsetof(struct kvm_regs, name) \
	}
#define SREG(name)                                      \
	{                                               \
#name, offsetof(struct kvm_sregs, name) \
	}

static const Field general[] = {
	REG(rip), REG(rflags), REG(rsp), REG(rax), REG(rbx), REG(rcx), REG(rdx), REG(rsi), REG(rdi),
	REG(rbp), REG(r8),     REG(r9),	 REG(r10), REG(r11), REG(r12), REG(r13), REG(r14), REG(r15),
};

static const Field control[] = {SREG(cr0), SREG(cr2), SREG(cr3), SREG(cr4), SREG(efer)};

static const Field segments[] = {SREG(cs), SREG(ss), SREG(ds), SREG(es),
				 SREG(fs), SREG(gs), SREG(tr), SREG(ldt)};

static void add_values(GString *to, const void *from, const Field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t value = *(const uint64_t *)((const char *)from + fields[i].offset);

		g_string_append_printf(to, "  %-6s 0x%016lx%s", fields[i].name, value,
				       i % 3 == 2 || i + 1 == n ? "\n" : "");
	}
}

char *machine_text_registers(const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	GString *text = g_string_new(NULL);

	add_values(text, regs, general, G_N_ELEMENTS(general));
	add_values(text, sregs, control, G_N_ELEMENTS(control));
	for (size_t i = 0; i < G_N_ELEMENTS(segments); i++) {
		const struct kvm_segment *segment =
			(const void *)((const char *)sregs + segments[i].offset);

		g_string_append_printf(
			text, "  %-6s %04x base 0x%016llx limit %08x type %x dpl %u%s%s\n",
			segments[i].name, segment->selector, (unsigned long long)segment->base,
			segment->limit, segment->type, segment->dpl, segment->l ? " 64-bit" : "",
			segment->unusable ? " unusable" : "");
	}
	return g_string_free(text, FALSE);
}
