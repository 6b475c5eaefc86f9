// SPDX-License-Identifier: MIT
#include "inspect/vcpu_json.h"

#include "base/error.h"
#include "inspect/json_hex.h"
#include "inspect/json_read.h"
#include "inspect/traits_json.h"
#include "state/vcpu_live.h"

static void add_text(json_object *to, const char *key, const char *text)
{
	json_object_object_add(to, key, json_object_new_string(text));
}

static void add_bool(json_object *to, const char *key, bool value)
{
	json_object_object_add(to, key, json_object_new_boolean(value));
}

static void add_hex(json_object *to, const char *key, uint64_t value)
{
	json_object_object_add(to, key, json_hex(value));
}

static void add_number(json_object *to, const char *key, unsigned value)
{
	json_object_object_add(to, key, json_object_new_int64(value));
}

static json_object *fields_to_json(const RegDesc *reg, uint64_t value)
{
	json_object *fields = json_object_new_object();

	for (unsigned i = 0; i < reg->n_fields; i++) {
		const RegField *field = &reg->fields[i];
		uint64_t part = reg_field_get(field, value);

		if (field->width == 1)
			add_bool(fields, field->name, part);
		else
			add_hex(fields, field->name, part);
	}
	return fields;
}

static json_object *register_to_json(const VcpuView *view, CetReg index)
{
	const RegDesc *reg = &cet_registers[index];
	uint64_t value = view->cet.value[index];
	json_object *json = json_object_new_object();

	add_text(json, "name", reg->name);
	add_text(json, "about", reg->about);
	if (reg->msr)
		add_hex(json, "msr", reg->msr);
	add_hex(json, "one_reg", reg->one_reg);
	add_hex(json, "value", value);
	json_object_object_add(json, "fields", fields_to_json(reg, value));
	add_text(json, "verdict",
		 cet_verdict_name(cet_verdict(index, value, &view->guest, &view->host)));
	return json;
}

static json_object *registers_to_json(const VcpuView *view)
{
	json_object *registers = json_object_new_array();

	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (view->cet.has & 1u << i)
			json_object_array_add(registers, register_to_json(view, (CetReg)i));
	return registers;
}

static json_object *control_to_json(const VcpuView *view)
{
	json_object *control = json_object_new_object();

	add_hex(control, "cr0", view->paging.cr0);
	add_bool(control, "cr0_wp", view->paging.cr0 & X86_CR0_WP);
	add_hex(control, "cr3", view->paging.cr3);
	add_hex(control, "cr4", view->paging.cr4);
	add_bool(control, "cr4_cet", view->paging.cr4 & X86_CR4_CET);
	add_hex(control, "efer", view->paging.efer);
	if (view->cet.has & CET_HAS_XSS) {
		add_hex(control, "xss", view->cet.xss);
		add_bool(control, "xss_cet_user", view->cet.xss & CET_XSS_USER);
		add_bool(control, "xss_cet_supervisor", view->cet.xss & CET_XSS_SUPERVISOR);
	}
	return control;
}

/* The bits of CetCpu.features, as they are called outside. */
static const struct {
	const char *name;
	uint32_t bit;
} features[] = {
	{"shstk", CET_FEATURE_SHSTK},
	{"ibt", CET_FEATURE_IBT},
	{"lm", CET_FEATURE_LM},
	{"xsaves", CET_FEATURE_XSAVES},
};

static json_object *cpu_to_json(const CetCpu *cpu)
{
	json_object *json = json_object_new_object();

	for (size_t i = 0; i < G_N_ELEMENTS(features); i++)
		add_bool(json, features[i].name, cpu->features & features[i].bit);
	add_number(json, "linear_bits", cpu->linear_bits);
	add_hex(json, "xss", cpu->xss);
	if (cpu->ignores_msrs)
		add_bool(json, "ignores_msrs", true);
	if (cpu->traits)
		json_object_object_add(json, "traits", cet_traits_to_json(cpu->traits));
	return json;
}

json_object *reg_problem_to_json(const RegProblem *problem)
{
	json_object *json = json_object_new_object();
	char bits[160];

	add_text(json, "register", problem->name);
	add_hex(json, "value", problem->value);
	add_text(json, "bits", cet_bits_text(problem->bits, bits, sizeof(bits)));
	add_text(json, "rule", problem->rule->text);
	add_text(json, "kvm", cet_verdict_name(problem->kvm));
	add_text(json, "remedy", problem->rule->remedy);
	return json;
}

static json_object *problems_to_json(const VcpuView *view)
{
	json_object *json = json_object_new_array();
	RegProblem problems[CET_MAX_PROBLEMS];
	unsigned n = cet_check(&view->cet, &view->guest, &view->host, problems, CET_MAX_PROBLEMS);

	for (unsigned i = 0; i < MIN(n, CET_MAX_PROBLEMS); i++)
		json_object_array_add(json, reg_problem_to_json(&problems[i]));
	return json;
}

json_object *vcpu_view_to_json(const VcpuView *view)
{
	json_object *json = json_object_new_object(), *live = json_object_new_object();

	add_number(json, "id", view->id);
	add_number(json, "cpl", view->cpl);
	add_text(json, "mode", vcpu_mode_name(view));
	add_hex(json, "rip", view->rip);
	add_bool(live, "shstk", vcpu_shstk_is_live(view));
	add_bool(live, "ibt", vcpu_ibt_is_live(view));
	json_object_object_add(json, "live", live);
	json_object_object_add(json, "registers", registers_to_json(view));
	json_object_object_add(json, "control", control_to_json(view));
	json_object_object_add(json, "guest_cpu", cpu_to_json(&view->guest));
	json_object_object_add(json, "host_cpu", cpu_to_json(&view->host));
	json_object_object_add(json, "problems", problems_to_json(view));
	return json;
}

json_object *vcpu_views_to_json(const GArray *views, const char *source)
{
	json_object *json = json_object_new_object(), *vcpus = json_object_new_array();

	for (guint i = 0; i < views->len; i++)
		json_object_array_add(vcpus, vcpu_view_to_json(&g_array_index(views, VcpuView, i)));
	json_object_object_add(json, "version", json_object_new_int(1));
	add_text(json, "source", source);
	json_object_object_add(json, "vcpus", vcpus);
	return json;
}

static bool read_registers(json_object *registers, CetState *ret_state)
{
	for (size_t i = 0; registers && i < json_object_array_length(registers); i++) {
		json_object *json = json_object_array_get_idx(registers, i);
		json_object *name = json_member(json, "name", json_type_string);
		const RegDesc *reg = name ? cet_register_find(json_object_get_string(name)) : NULL;

		if (!reg || !json_hex_get(json, "value", &ret_state->value[reg - cet_registers]))
			return false;
		ret_state->has |= 1u << (reg - cet_registers);
	}
	return registers != NULL;
}

static bool read_control(json_object *control, VcpuView *view)
{
	if (!control || !json_hex_get(control, "cr0", &view->paging.cr0) ||
	    !json_hex_get(control, "cr3", &view->paging.cr3) ||
	    !json_hex_get(control, "cr4", &view->paging.cr4) ||
	    !json_hex_get(control, "efer", &view->paging.efer))
		return false;
	view->cet.cr0 = view->paging.cr0;
	view->cet.cr4 = view->paging.cr4;
	view->cet.has |= CET_HAS_CR;
	if (json_hex_get(control, "xss", &view->cet.xss))
		view->cet.has |= CET_HAS_XSS;
	return true;
}

static bool read_cpu(json_object *json, CetCpu *ret_cpu)
{
	unsigned bits;

	if (!json || !json_read_number(json, "linear_bits", 64, &bits) || bits < 32 ||
	    !json_hex_get(json, "xss", &ret_cpu->xss))
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
		json_object *value = json_member(json, features[i].name, json_type_boolean);

		if (!value)
			return false;
		if (json_object_get_boolean(value))
			ret_cpu->features |= features[i].bit;
	}
	ret_cpu->linear_bits = (uint8_t)bits;
	ret_cpu->ignores_msrs =
		json_object_get_boolean(json_member(json, "ignores_msrs", json_type_boolean));
	json = json_member(json, "traits", json_type_array);
	return !json || cet_traits_from_json(json, &ret_cpu->traits);
}

bool vcpu_view_from_json(json_object *json, VcpuView *ret_view, GError **error)
{
	*ret_view = (VcpuView){0};
	if (!json_object_is_type(json, json_type_object) ||
	    !json_read_number(json, "id", UINT16_MAX, &ret_view->id))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "this is no vCPU's state: it has no id");
	if (!json_read_number(json, "cpl", 3, &ret_view->cpl) ||
	    !json_hex_get(json, "rip", &ret_view->rip) ||
	    !read_registers(json_member(json, "registers", json_type_array), &ret_view->cet) ||
	    !read_control(json_member(json, "control", json_type_object), ret_view) ||
	    !read_cpu(json_member(json, "guest_cpu", json_type_object), &ret_view->guest) ||
	    !read_cpu(json_member(json, "host_cpu", json_type_object), &ret_view->host))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "vCPU %u: a part of its state is missing or wrong", ret_view->id);
	return true;
}
