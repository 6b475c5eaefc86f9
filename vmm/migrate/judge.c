// SPDX-License-Identifier: MIT
/* Would the announced guest run here? Before the first page. */
#include "migrate/target_internal.h"

#include "base/error.h"
#include "kvm/host_check.h"
#include "mem/guest_memory.h"

bool target_check(MigrateTarget *target, const MachineState *state, GError **error)
{
	g_auto(HostInfo) host = {0};
	g_autoptr(GPtrArray) problems = NULL;
	g_autoptr(GString) text = g_string_new(NULL);

	problems = host_check(&(HostPaths){.kvm = target->config->kvm_path}, state, &host);
	if (host.access != HOST_KVM_USABLE)
		return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED, "%s", host.reason);
	if (problems->len == 0)
		return true;
	for (unsigned i = 0; i < problems->len; i++) {
		const StateProblem *problem = problems->pdata[i];

		if (problem->vcpu >= 0)
			g_string_append_printf(text, "\nvcpu %d: %s", problem->vcpu, problem->text);
		else
			g_string_append_printf(text, "\n%s", problem->text);
	}
	return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE, "the guest does not fit this host:%s",
			  text->str);
}

static bool make_room(MigrateTarget *target, GError **error)
{
	GuestMemory *memory = guest_memory_create(target->outline->memory, error);

	if (!memory)
		return false;
	target->machine = machine_create_like(target->outline, target->config, memory,
					      target->machine_sink, error);
	target->written = g_new0(uint64_t, bitmap_words(target->outline->memory / PAGE_SIZE));
	return target->machine != NULL;
}

static void start_over(MigrateTarget *target)
{
	g_clear_pointer(&target->machine, machine_destroy);
	g_clear_pointer(&target->outline, machine_state_destroy);
	g_clear_pointer(&target->owner, owner_destroy);
	g_clear_pointer(&target->written, g_free);
}

static bool check_postcopy(const MigrateTarget *target, GError **error)
{
	if (!(target->hello.flags & HELLO_POSTCOPY))
		return true;
	if (!listener_is_reusable(door_listener(target->door)))
		return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
				  "post-copy must be able to connect again when the connection "
				  "breaks, and this target listens on a single connection");
	return postcopy_check(error);
}

bool target_judge(MigrateTarget *target, Channel *channel, const Message *message, GError **error)
{
	Verdict verdict = {.version = PROTOCOL_VERSION};
	bool wanted = false;

	if (hello_parse(message, &target->hello, &target->outline, error) &&
	    target_check(target, target->outline, error) && check_postcopy(target, error)) {
		target->owner = owner_open(target->hello.session, &target->hello.ticket);
		verdict.flags = target->owner ? VERDICT_SHARES_OWNER : 0;
		bool dry = target->hello.flags & HELLO_DRY_RUN;

		/* Room is made for a dry run as well: only then is it known that there is some. */
		wanted = make_room(target, error) &&
			 channel_send(channel, MESSAGE_VERDICT, &verdict, sizeof(verdict), error) &&
			 !dry;
	}
	if (!wanted)
		start_over(target);
	return wanted;
}
