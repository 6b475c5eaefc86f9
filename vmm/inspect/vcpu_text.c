// SPDX-License-Identifier: MIT
#include "inspect/vcpu_text.h"

#include "state/vcpu_live.h"

/* Everything that has a value and may change, in the order in which it is shown. */
enum {
	ROW_RIP = CET_N_REGS,
	ROW_CR0,
	ROW_CR3,
	ROW_CR4,
	ROW_EFER,
	ROW_XSS,
	N_ROWS,
};

typedef struct Row {
	const char *name;
	bool there;
	uint64_t value;
} Row;

static Row get_row(const VcpuView *view, unsigned index)
{
	if (index < CET_N_REGS) {
		uint64_t value = view->cet.value[index];
		/* KVM reads as 0 what it knows and this guest has not. */
		bool there = value || cet_register_exists((CetReg)index, &view->guest, &view->host);

		return (Row){cet_registers[index].name, there && view->cet.has & 1u << index,
			     value};
	}
	switch (index) {
	case ROW_RIP:
		return (Row){"rip", true, view->rip};
	case ROW_CR0:
		return (Row){"cr0", true, view->paging.cr0};
	case ROW_CR3:
		return (Row){"cr3", true, view->paging.cr3};
	case ROW_CR4:
		return (Row){"cr4", true, view->paging.cr4};
	case ROW_EFER:
		return (Row){"efer", true, view->paging.efer};
	default:
		return (Row){"xss", view->cet.has & CET_HAS_XSS, view->cet.xss};
	}
}

static bool differs(const Row *row, const Row *old)
{
	return row->there != old->there || row->value != old->value;
}

/* The fields that are set, "shstk_en, endbr_en, legacy_bitmap 0x7f"; "" if none is. */
static char *fields_text(const RegDesc *reg, uint64_t value)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; i < reg->n_fields; i++) {
		const RegField *field = &reg->fields[i];
		uint64_t part = reg_field_get(field, value);

		/* A field that is the whole register says nothing that its value does not. */
		if (!part || field->width == 64)
			continue;
		g_string_append_printf(text, "%s%s", text->len ? ", " : "", field->name);
		if (field->width > 1)
			g_string_append_printf(text, " 0x%lx", part);
	}
	return g_string_free(text, FALSE);
}

/* What a person wants to know beside the number. */
static char *meaning(const VcpuView *view, unsigned index, uint64_t value)
{
	g_autofree char *fields =
		index < CET_N_REGS ? fields_text(&cet_registers[index], value) : NULL;

	if (fields && fields[0])
		return g_steal_pointer(&fields);
	if (index < CET_N_REGS)
		return g_strdup(cet_registers[index].about);
	switch (index) {
	case ROW_CR0:
		return g_strdup(value & X86_CR0_WP ? "WP" : "WP is clear");
	case ROW_CR4:
		return g_strdup(value & X86_CR4_CET ? "CET" : "CET is clear");
	case ROW_XSS:
		return g_strdup_printf("%s; %s", value & CET_XSS_USER ? "CET_U" : "CET_U is clear",
				       value & CET_XSS_SUPERVISOR ? "CET_S" : "CET_S is clear");
	case ROW_RIP:
		return g_strdup_printf("ring %u, %s mode", view->cpl, vcpu_mode_name(view));
	default:
		return g_strdup("");
	}
}

/* In a view of its own, "ok" is the absence of a remark. */
static const char *verdict_text(const VcpuView *view, unsigned index, uint64_t value)
{
	RegVerdict verdict = index < CET_N_REGS
				     ? cet_verdict((CetReg)index, value, &view->guest, &view->host)
				     : REG_OK;

	return verdict == REG_OK ? "" : "  WRONG, see below";
}

static void add_row(GString *text, const VcpuView *view, const VcpuView *before, unsigned index)
{
	Row row = get_row(view, index), old = before ? get_row(before, index) : row;
	bool changed = differs(&row, &old);

	if (!row.there)
		return;
	g_autofree char *about = meaning(view, index, row.value);

	g_string_append_printf(text, "%c %-11s  0x%016lx%s%s", changed ? '*' : ' ', row.name,
			       row.value, about[0] ? "  " : "", about);
	g_string_append(text, verdict_text(view, index, row.value));
	if (changed && old.there)
		g_string_append_printf(text, "  (was 0x%lx)", old.value);
	g_string_append_c(text, '\n');
}

/* Why a protection is on or off here. */
static void add_live(GString *text, const VcpuView *view, const char *what, bool live,
		     const char *field)
{
	const char *ruling = cet_registers[vcpu_ruling_register(view)].name;
	bool enabled = view->paging.cr4 & X86_CR4_CET;

	g_string_append_printf(text, "  %-11s  %s: ", what, live ? "on" : "off");
	if (!enabled)
		g_string_append(text, "CR4.CET is clear\n");
	else
		g_string_append_printf(text, "%s.%s is %s\n", ruling, field,
				       live ? "set" : "clear");
}

static void add_cpu(GString *text, const char *name, const CetCpu *cpu)
{
	bool shstk = cpu->features & CET_FEATURE_SHSTK, ibt = cpu->features & CET_FEATURE_IBT;

	g_string_append_printf(text, "  %-11s  %s%s%s, %u-bit addresses, XSS mask 0x%lx\n", name,
			       shstk ? "SHSTK" : "",
			       shstk && ibt ? " and IBT"
			       : ibt	    ? "IBT"
					    : "",
			       shstk || ibt ? "" : "neither SHSTK nor IBT", cpu->linear_bits,
			       cpu->xss);
}

static void add_problems(GString *text, const VcpuView *view)
{
	RegProblem problems[CET_MAX_PROBLEMS];
	unsigned n = cet_check(&view->cet, &view->guest, &view->host, problems, CET_MAX_PROBLEMS);

	for (unsigned i = 0; i < MIN(n, CET_MAX_PROBLEMS); i++) {
		char line[512];

		g_string_append_printf(text, "  WRONG        %s\n",
				       cet_problem_text(&problems[i], line, sizeof(line)));
	}
}

char *vcpu_view_to_text(const VcpuView *view, const VcpuView *before)
{
	GString *text = g_string_new(NULL);
	bool has_cet = view->guest.features & (CET_FEATURE_SHSTK | CET_FEATURE_IBT);

	g_string_append_printf(text, "vcpu %u\n", view->id);
	add_row(text, view, before, ROW_RIP);
	if (has_cet) {
		add_live(text, view, "shstk", vcpu_shstk_is_live(view), "shstk_en");
		add_live(text, view, "ibt", vcpu_ibt_is_live(view), "endbr_en");
	} else {
		g_string_append_printf(text,
				       "  %-11s  this guest has none: its CPUID shows neither "
				       "SHSTK nor IBT\n",
				       "cet");
	}
	for (unsigned i = 0; i < CET_N_REGS; i++)
		add_row(text, view, before, i);
	for (unsigned i = ROW_RIP + 1; i < N_ROWS; i++)
		add_row(text, view, before, i);
	add_cpu(text, "cpuid", &view->guest);
	add_cpu(text, "host", &view->host);
	add_problems(text, view);
	return g_string_free(text, FALSE);
}

static char *value_text(const Row *row)
{
	return row->there ? g_strdup_printf("0x%016lx", row->value) : g_strdup("absent");
}

static void add_change(GString *text, const VcpuView *view, const VcpuView *before, unsigned index)
{
	Row row = get_row(view, index), old = get_row(before, index);
	g_autofree char *from = value_text(&old), *to = value_text(&row);
	g_autofree char *about = row.there ? meaning(view, index, row.value) : g_strdup("");

	if (!differs(&row, &old))
		return;
	g_string_append_printf(text, "vcpu %u  %-11s  %s → %s%s%s%s\n", view->id, row.name, from,
			       to, about[0] ? "  " : "", about,
			       verdict_text(view, index, row.value));
}

char *vcpu_view_changes(const VcpuView *view, const VcpuView *before)
{
	GString *text = g_string_new(NULL);

	if (view->cpl != before->cpl)
		g_string_append_printf(text, "vcpu %u  %-11s  ring %u → ring %u\n", view->id, "cpl",
				       before->cpl, view->cpl);
	for (unsigned i = 0; i < N_ROWS; i++)
		add_change(text, view, before, i);
	return g_string_free(text, FALSE);
}
