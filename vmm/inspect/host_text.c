// SPDX-License-Identifier: MIT
#include "inspect/host_text.h"

#include "umbra/cet.h"

#include <string.h>

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "no";
}

static void add_kvm(GString *text, const HostInfo *info)
{
	g_string_append_printf(text, "kernel     %s\n", info->kernel);
	if (info->access != HOST_KVM_USABLE) {
		g_string_append_printf(text, "kvm        no\n");
		return;
	}
	g_string_append_printf(text, "kvm        %s, API version %d, %s, up to %d vCPUs\n",
			       info->path, info->api_version,
			       info->backend ? info->backend : "neither kvm_intel nor kvm_amd",
			       host_info_capability(info, KVM_CAP_MAX_VCPUS));
}

static void add_cet(GString *text, const HostInfo *info)
{
	uint32_t registers = host_info_registers(info);

	g_string_append_printf(text, "shstk      %s\n",
			       yes_no(info->cet.features & CET_FEATURE_SHSTK));
	g_string_append_printf(text, "ibt        %s\n",
			       yes_no(info->cet.features & CET_FEATURE_IBT));
	g_string_append_printf(text, "guest_ssp  %s\n", yes_no(info->guest_ssp));
	g_string_append(text, "registers ");
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (registers & 1u << i)
			g_string_append_printf(text, " %s", cet_registers[i].name);
	g_string_append(text, registers ? "\n" : " none\n");
	if (info->cet.traits)
		g_string_append(text, "traits    ");
	for (unsigned i = 0; i < CET_N_TRAITS; i++)
		if (info->cet.traits & 1u << i)
			g_string_append_printf(text, " %s", cet_trait_names[i]);
	g_string_append(text, info->cet.traits ? "\n" : "");
	g_string_append_printf(text, "xss        0x%" G_GINT64_MODIFIER "x\n", info->cet.xss);
	g_string_append_printf(text, "addresses  %u bits\n", info->cet.linear_bits);
}

/* One cause may take several things away: say it once, with all of them. */
static void add_missing(GString *text, const GPtrArray *missing)
{
	for (unsigned i = 0; i < missing->len; i++) {
		const HostMissing *entry = missing->pdata[i];
		bool said = false;

		for (unsigned j = 0; j < i; j++)
			said |= strcmp(((HostMissing *)missing->pdata[j])->why, entry->why) == 0;
		if (said)
			continue;
		g_string_append_printf(text, "\nmissing    %s", entry->what);
		for (unsigned j = i + 1; j < missing->len; j++) {
			const HostMissing *other = missing->pdata[j];

			if (strcmp(other->why, entry->why) == 0)
				g_string_append_printf(text, ", %s", other->what);
		}
		g_string_append_printf(text, "\nwhy        %s\nremedy     %s\n", entry->why,
				       entry->remedy);
	}
}

char *host_text(const HostInfo *info)
{
	g_autoptr(GPtrArray) missing = host_info_missing(info);
	GString *text = g_string_new(NULL);

	add_kvm(text, info);
	if (info->access == HOST_KVM_USABLE)
		add_cet(text, info);
	add_missing(text, missing);
	return g_string_free(text, FALSE);
}
