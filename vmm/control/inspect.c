// SPDX-License-Identifier: MIT
#include "control/inspect.h"

#include "base/error.h"
#include "inspect/json_hex.h"
#include "inspect/vcpu_json.h"

/* Views are taken while the guest stands still; they become JSON when it runs again. */
static GArray *take_views(const ControlGuest *guest, unsigned first, unsigned n, GError **error)
{
	g_autoptr(GArray) views = g_array_sized_new(FALSE, FALSE, sizeof(VcpuView), n);

	for (unsigned i = 0; i < n; i++) {
		VcpuView view;

		if (!machine_view_vcpu(guest->machine, first + i, &view, error))
			return NULL;
		g_array_append_val(views, view);
	}
	return g_steal_pointer(&views);
}

/* The argument `cpu`: its value, or `fallback`. No vCPU has a number above 65535. */
static unsigned cpu_argument(json_object *arguments, unsigned fallback)
{
	json_object *cpu = json_object_object_get(arguments, "cpu");

	return cpu ? (unsigned)MIN((uint64_t)json_object_get_int64(cpu), UINT16_MAX) : fallback;
}

static bool inspect(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	const ControlGuest *guest = owner;
	bool one = json_object_object_get_ex(arguments, "cpu", NULL);
	unsigned n = one ? 1 : machine_vcpu_count(guest->machine);
	gint64 begin = g_get_monotonic_time();
	bool was_running = machine_is_running(guest->machine);

	if (!control_guest_hold(guest, error))
		return false;
	g_autoptr(GArray) views = take_views(guest, cpu_argument(arguments, 0), n, error);

	control_guest_release(guest);
	gint64 stopped = g_get_monotonic_time() - begin;

	if (!views)
		return false;
	*ret_value = vcpu_views_to_json(views, "live");
	json_object_object_add(*ret_value, "running", json_object_new_boolean(was_running));
	if (was_running)
		json_object_object_add(*ret_value, "stopped_us", json_object_new_int64(stopped));
	return true;
}

/*
 * May the value be written? Without `force` nothing may speak against it; with it,
 * what KVM takes and keeps passes.
 */
static bool judge(const VcpuView *view, CetReg reg, uint64_t value, bool force, GError **error)
{
	RegProblem problems[CET_MAX_PROBLEMS];
	unsigned n =
		cet_check_value(reg, value, &view->guest, &view->host, problems, CET_MAX_PROBLEMS);
	RegVerdict verdict = cet_verdict(reg, value, &view->guest, &view->host);
	const RegProblem *worst = &problems[0];
	char bits[160];

	if (!(view->cet.has & 1u << reg))
		return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
				  "vcpu %u has no register %s: this host's KVM does not serve it",
				  view->id, cet_registers[reg].name);
	if (n == 0 || (force && verdict < REG_LOSES))
		return true;
	/* Of several problems the one that weighs most with KVM. */
	for (unsigned i = 1; i < MIN(n, CET_MAX_PROBLEMS); i++)
		if (problems[i].kvm > worst->kvm)
			worst = &problems[i];
	return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
			  "vcpu %u: %s=0x%lx: bits %s %s (KVM %s)%s", view->id, worst->name, value,
			  cet_bits_text(worst->bits, bits, sizeof(bits)), worst->rule->text,
			  cet_verdict_name(worst->kvm),
			  verdict < REG_LOSES ? "; force writes it all the same" : "");
}

/* Reads {"NAME": "0x…"…} into a state that has these registers and no others. */
static bool read_values(json_object *values, const VcpuView *view, bool force, CetState *ret_state,
			GError **error)
{
	json_object_object_foreach(values, name, text)
	{
		const RegDesc *reg = cet_register_find(name);
		uint64_t value;

		(void)text;
		if (!reg)
			return umbra_fail(error, UMBRA_ERROR_USAGE,
					  "there is no register '%s': u_cet s_cet pl0_ssp pl1_ssp "
					  "pl2_ssp pl3_ssp int_ssp_tab guest_ssp",
					  name);
		CetReg index = (CetReg)(reg - cet_registers);

		if (!json_hex_get(values, name, &value))
			return umbra_fail(error, UMBRA_ERROR_USAGE,
					  "%s: the value must be a string \"0x…\" of 64 bits",
					  name);
		if (!judge(view, index, value, force, error))
			return false;
		ret_state->value[index] = value;
		ret_state->has |= 1u << index;
	}
	if (!ret_state->has)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "no register is given");
	return true;
}

static json_object *changes_to_json(const CetState *before, const CetState *after)
{
	json_object *changes = json_object_new_array();

	for (unsigned i = 0; i < CET_N_REGS; i++) {
		if (!(after->has & 1u << i))
			continue;
		json_object *change = json_object_new_object();

		json_object_object_add(change, "register",
				       json_object_new_string(cet_registers[i].name));
		json_object_object_add(change, "before", json_hex(before->value[i]));
		json_object_object_add(change, "after", json_hex(after->value[i]));
		json_object_array_add(changes, change);
	}
	return changes;
}

/* All or nothing: every value is judged before the first is written. */
static bool set(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	const ControlGuest *guest = owner;
	bool force = json_object_get_boolean(json_object_object_get(arguments, "force"));
	unsigned cpu = cpu_argument(arguments, 0);
	CetState state = {0};
	VcpuView view;

	if (!job_must_be_idle(guest->job, error))
		return false;
	if (machine_is_running(guest->machine))
		return umbra_fail(error, UMBRA_ERROR_USAGE, "the guest runs: pause it first");
	if (!machine_view_vcpu(guest->machine, cpu, &view, error) ||
	    !read_values(json_object_object_get(arguments, "values"), &view, force, &state,
			 error) ||
	    !machine_write_cet(guest->machine, cpu, &state, error))
		return false;
	*ret_value = json_object_new_object();
	json_object_object_add(*ret_value, "version", json_object_new_int(1));
	json_object_object_add(*ret_value, "changes", changes_to_json(&view.cet, &state));
	return true;
}

static const QmpCommand commands[] = {
	{.name = "x-umbra-inspect", .run = inspect, .arguments = {{"cpu", json_type_int, true}}},
	{.name = "x-umbra-set",
	 .run = set,
	 .arguments = {{"values", json_type_object, false},
		       {"cpu", json_type_int, true},
		       {"force", json_type_boolean, true}}},
};

void control_inspect_attach(ControlGuest *guest)
{
	control_server_add_commands(guest->server, commands, G_N_ELEMENTS(commands), guest);
}
