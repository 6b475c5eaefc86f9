// SPDX-License-Identifier: MIT
/*
 * What the guest was shown of its CPU, against what this host's KVM offers. KVM takes any
 * CPUID that userspace gives it (arch/x86/kvm/cpuid.c, kvm_set_cpuid()): the guest finds out.
 */
#include "state/check_internal.h"

#include "cet/cpuid.h"
#include "state/cpu_features.h"

#include <string.h>

/* "(avx2, smep) ", or "" if none of the bits has a name. */
static char *names_of(const CpuFeatureWord *word, uint32_t bits)
{
	GString *names = g_string_new(NULL);

	for (unsigned i = 0; i < 32; i++)
		if (bits >> i & 1 && word->names[i])
			g_string_append_printf(names, "%s%s", names->len ? ", " : "(",
					       word->names[i]);
	if (names->len)
		g_string_append(names, ") ");
	return g_string_free(names, FALSE);
}

/* A guest that runs cannot be shown less any more; the next one can. */
static const char show_less[] =
	"choose a destination whose CPU and KVM offer it, or start the guest with `umbra run "
	"--cpu-like` and what `umbra host --json` says there";

static void check_features(Check *check, const CpuFeatureWord *word)
{
	uint32_t shown = cpuid_word(check->state->cpuid, &word->at);
	uint32_t lost = shown & ~cpuid_word_offered(check->host, &word->at) & ~word->ignored;

	if (!lost)
		return;
	g_autofree char *what = cpuid_word_name(&word->at), *names = names_of(word, lost);

	check_addf(check,
		   &(Finding){.vcpu = CHECK_MACHINE,
			      .value = shown,
			      .bits = lost,
			      .kvm = REG_ACCEPTS,
			      .remedy = show_less},
		   what, "%swere shown to the guest, and this host's KVM does not offer them",
		   names);
}

static void check_numbers(Check *check)
{
	for (size_t i = 0; i < CPU_NUMBERS; i++) {
		uint32_t mask = (1u << cpu_numbers[i].width) - 1;
		uint32_t shown = cpuid_word(check->state->cpuid, &cpu_numbers[i].at);
		uint32_t offered = cpuid_word(check->host->cpuid, &cpu_numbers[i].at);
		uint32_t mine = shown >> cpu_numbers[i].low & mask,
			 here = offered >> cpu_numbers[i].low & mask;

		if (mine <= here)
			continue;
		g_autofree char *what = cpuid_word_name(&cpu_numbers[i].at);

		check_addf(check,
			   &(Finding){.vcpu = CHECK_MACHINE,
				      .value = shown,
				      .bits = (uint64_t)mask << cpu_numbers[i].low,
				      .kvm = REG_ACCEPTS,
				      .remedy = show_less},
			   what, "are %s: the guest was shown %u, and this host has %u",
			   cpu_numbers[i].about, mine, here);
	}
}

static void check_vendor(Check *check)
{
	const CpuidWord first = {0, 0, CPUID_EBX};
	char shown[13], here[13];

	cpuid_vendor(check->state->cpuid, shown);
	cpuid_vendor(check->host->cpuid, here);
	if (strcmp(shown, here) == 0)
		return;
	check_addf(check,
		   &(Finding){.vcpu = CHECK_MACHINE,
			      .value = cpuid_word(check->state->cpuid, &first),
			      .kvm = REG_ACCEPTS,
			      .remedy = "choose a destination with a CPU of the same vendor"},
		   "cpuid 0 ebx",
		   "the guest was shown a CPU of %s, and this host's is of %s: a kernel's MSRs, "
		   "system "
		   "calls and workarounds depend on it",
		   shown, here);
}

/* Guests lay out their XSAVE areas by these numbers, once, when they boot (SDM 1, 13.4). */
static void check_component(Check *check, unsigned component, CpuidRegister reg, const char *about)
{
	const CpuidWord at = {0xd, component, reg};
	uint32_t shown = cpuid_word(check->state->cpuid, &at);
	uint32_t here = cpuid_word(check->host->cpuid, &at);

	if (shown == here)
		return;
	g_autofree char *what = cpuid_word_name(&at);

	check_addf(check,
		   &(Finding){.vcpu = CHECK_MACHINE,
			      .value = shown,
			      .kvm = REG_ACCEPTS,
			      .remedy = "choose a destination with a CPU of the same kind"},
		   what, "%s of state component %u in XSAVE's area, which is 0x%x on this host",
		   about, component, here);
}

static void check_layout(Check *check)
{
	const struct kvm_cpuid2 *guest = check->state->cpuid, *host = check->host->cpuid;
	uint64_t user = cpuid_user_states(guest) & cpuid_user_states(host);
	uint64_t all = user | (cpuid_supervisor_states(guest) & cpuid_supervisor_states(host));

	/* x87 and SSE are where they always were, and bit 63 is no component. */
	for (unsigned i = 2; i < 63; i++) {
		if (all >> i & 1)
			check_component(check, i, CPUID_EAX, "is the size");
		if (user >> i & 1)
			check_component(check, i, CPUID_EBX, "is the place");
	}
}

void check_cpuid(Check *check)
{
	check_vendor(check);
	for (size_t i = 0; i < CPU_FEATURE_WORDS; i++)
		check_features(check, &cpu_feature_words[i]);
	check_numbers(check);
	check_layout(check);
}
