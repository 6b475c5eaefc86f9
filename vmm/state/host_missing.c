// SPDX-License-Identifier: MIT
/*
 * Why a host offers less than all of CET. KVM itself only answers yes or no; the
 * causes stand in its source (arch/x86/kvm: vmx_set_cpu_caps(), svm_set_cpu_caps(),
 * kvm_set_cpu_caps(), kvm_setup_xss_caps()), and each row says how its cause is
 * told from outside. Rows stand from the outermost cause to the innermost.
 */
#include "state/host_info.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

typedef enum Thing {
	THING_KVM = 1 << 0,
	THING_SHSTK = 1 << 1,
	THING_IBT = 1 << 2,
	THING_GUEST_SSP = 1 << 3,
	THING_SHADOW = THING_SHSTK | THING_GUEST_SSP, /* guest_ssp needs shadow stacks */
	THING_CET = THING_SHADOW | THING_IBT,
} Thing;

static const struct {
	Thing thing;
	const char *name;
} things[] = {
	{THING_KVM, "kvm"},
	{THING_SHSTK, "shstk"},
	{THING_IBT, "ibt"},
	{THING_GUEST_SSP, "guest_ssp"},
};

typedef struct Cause {
	unsigned things; /* what it takes away, of Thing */
	bool (*holds)(const HostInfo *info);
	const char *why;
	const char *(*fact)(const HostInfo *info); /* completes `why`; may be NULL */
	const char *remedy;
} Cause;

static bool intel(const HostInfo *info)
{
	return g_strcmp0(info->backend, "kvm_intel") == 0;
}

static bool amd(const HostInfo *info)
{
	return g_strcmp0(info->backend, "kvm_amd") == 0;
}

static bool kvm_absent(const HostInfo *info)
{
	return info->access == HOST_KVM_ABSENT;
}

static bool kvm_denied(const HostInfo *info)
{
	return info->access == HOST_KVM_DENIED;
}

static bool kvm_alien(const HostInfo *info)
{
	return info->access == HOST_KVM_ALIEN;
}

static bool kvm_failed(const HostInfo *info)
{
	return info->access == HOST_KVM_FAILED;
}

static bool kernel_is_old(const HostInfo *info)
{
	unsigned major, minor;

	/* A vendor may have carried CET to an older kernel: the capability decides. */
	if (host_info_capability(info, KVM_CAP_ONE_REG) > 0)
		return false;
	return sscanf(info->kernel, "%u.%u", &major, &minor) != 2 || major < 6 ||
	       (major == 6 && minor < 18);
}

static bool no_one_reg(const HostInfo *info)
{
	return host_info_capability(info, KVM_CAP_ONE_REG) <= 0 && !kernel_is_old(info);
}

static bool cpu_has_no_shstk(const HostInfo *info)
{
	return !info->cpu.shstk;
}

static bool amd_has_no_ibt(const HostInfo *info)
{
	return strcmp(info->cpu.vendor, "AuthenticAMD") == 0 ||
	       strcmp(info->cpu.vendor, "HygonGenuine") == 0;
}

static bool cpu_has_no_ibt(const HostInfo *info)
{
	return !info->cpu.ibt && !amd_has_no_ibt(info);
}

static bool other_backend(const HostInfo *info)
{
	return !info->backend;
}

static bool intel_cet_off(const HostInfo *info)
{
	return intel(info) && host_info_is(info, HOST_PARAMETER_INTEL_CET, false);
}

static bool intel_ept_off(const HostInfo *info)
{
	return intel(info) && host_info_is(info, HOST_PARAMETER_INTEL_EPT, false);
}

static bool intel_restricted(const HostInfo *info)
{
	return intel(info) && host_info_is(info, HOST_PARAMETER_INTEL_UNRESTRICTED_GUEST, false) &&
	       !intel_ept_off(info);
}

static bool amd_npt_off(const HostInfo *info)
{
	return amd(info) && host_info_is(info, HOST_PARAMETER_AMD_NPT, false);
}

static bool smaller_maxphyaddr(const HostInfo *info)
{
	/* Without EPT KVM turns it on by itself, and that cause is named already. */
	return intel(info) && host_info_capability(info, KVM_CAP_SMALLER_MAXPHYADDR) > 0 &&
	       !intel_ept_off(info);
}

static bool no_error_code_control(const HostInfo *info)
{
	/* KVM passes bit 56 on from the CPU since it knows CET, not before. */
	return intel(info) && !kernel_is_old(info) && info->vmx_basic_known &&
	       !(info->vmx_basic >> 56 & 1);
}

static bool no_xsaves(const HostInfo *info)
{
	return info->backend && !(info->cet.features & CET_FEATURE_XSAVES);
}

static bool no_xstates(const HostInfo *info)
{
	return !info->cpu.xstates && info->cpu.shstk;
}

static bool kernel_hides_ibt(const HostInfo *info)
{
	return info->cpu.ibt && !info->cpu.ibt_known;
}

static const char *fact_path(const HostInfo *info)
{
	return info->path;
}

static const char *fact_reason(const HostInfo *info)
{
	return info->reason;
}

static const char *fact_kernel(const HostInfo *info)
{
	return info->kernel;
}

static const Cause causes[] = {
	{THING_KVM, kvm_absent, "there is no ", fact_path,
	 "enable virtualization in the firmware and load kvm_intel or kvm_amd; in a virtual "
	 "machine enable nested virtualization, in a container pass the device in"},
	{THING_KVM, kvm_denied, "no permission to open ", fact_path,
	 "add yourself to the group that owns the device (usually kvm) and log in anew"},
	{THING_KVM, kvm_alien, "this file does not answer as KVM: ", fact_path,
	 "name the KVM device of this host (--kvm), usually /dev/kvm"},
	{THING_KVM, kvm_failed, "KVM does not do its work: ", fact_reason,
	 "look for kvm in the kernel's log (dmesg)"},
	{THING_CET, kernel_is_old, "KVM virtualizes CET from Linux 6.18 on, and this kernel is ",
	 fact_kernel, "boot Linux 6.18 or newer"},
	{THING_CET, other_backend,
	 "only kvm_intel and kvm_amd virtualize CET, and KVM works here without either", NULL,
	 "use a host whose kernel runs kvm_intel or kvm_amd on hardware virtualization; the "
	 "project's lab brings one along"},
	{THING_SHADOW, cpu_has_no_shstk, "the CPU has no shadow stacks (CPUID 7.0 ECX[7] is 0)",
	 NULL,
	 "use an Intel CPU from 2020 on or an AMD Zen 3 or newer; if this is a virtual machine, "
	 "its own VMM must expose CET"},
	{THING_IBT, amd_has_no_ibt, "AMD's CPUs have no indirect branch tracking", NULL,
	 "run guests with shadow stacks alone, or use an Intel host"},
	{THING_IBT, cpu_has_no_ibt,
	 "the CPU has no indirect branch tracking (CPUID 7.0 EDX[20] is 0)", NULL,
	 "use an Intel CPU from 2020 on; if this is a virtual machine, its own VMM must expose "
	 "CET"},
	{THING_CET, intel_cet_off,
	 "kvm_intel.cet is N: it was loaded with cet=0, or the CPU's VMX cannot load CET state",
	 NULL,
	 "take cet=0 out of /etc/modprobe.d and the kernel's command line, and load kvm_intel "
	 "anew; if it still says N, use another CPU"},
	{THING_CET, intel_ept_off, "kvm_intel.ept is N, and KVM's shadow paging knows no CET", NULL,
	 "load kvm_intel without ept=0"},
	{THING_CET, intel_restricted,
	 "kvm_intel.unrestricted_guest is N, and KVM's emulator enforces no CET", NULL,
	 "load kvm_intel without unrestricted_guest=0"},
	{THING_SHADOW, amd_npt_off, "kvm_amd.npt is N, and KVM's shadow paging knows no CET", NULL,
	 "load kvm_amd without npt=0"},
	{THING_CET, smaller_maxphyaddr,
	 "kvm_intel.allow_smaller_maxphyaddr is Y, which makes KVM emulate accesses that CET "
	 "would check",
	 NULL, "load kvm_intel without allow_smaller_maxphyaddr=1"},
	{THING_CET, no_error_code_control,
	 "the CPU's VMX cannot deliver a control-protection fault (IA32_VMX_BASIC[56] is 0)", NULL,
	 "use another CPU; if this is a virtual machine, its own VMM or kernel is too old"},
	{THING_CET, no_xsaves, "KVM offers no XSAVES (CPUID D.1 EAX[3] is 0)", NULL,
	 "boot without noxsave and noxsaves; else use a CPU whose VMX has XSAVES"},
	{THING_CET, no_xstates,
	 "the CPU does not save CET_U and CET_S together (CPUID D.1 ECX[12:11])", NULL,
	 "use another CPU; if this is a virtual machine, its own VMM must expose both"},
	{THING_IBT, kernel_hides_ibt,
	 "the host kernel hides indirect branch tracking, which the CPU has", NULL,
	 "boot without ibt=off, on a kernel built with CONFIG_X86_KERNEL_IBT"},
	{THING_GUEST_SSP, no_one_reg,
	 "KVM has no KVM_CAP_ONE_REG, so the shadow stack pointer cannot be read or written", NULL,
	 "boot Linux 6.18 or newer as it comes from kernel.org or a distribution"},
};

/* For what no row explains. KVM's own checks may grow beyond this table. */
static const Cause unknown = {
	THING_CET, NULL, "KVM does not offer it, and nothing that can be seen from here says why",
	NULL,
	"look for kvm and CET in the kernel's log (dmesg); a CPU whose VMX cannot load CET "
	"state looks like this before kvm_intel has a parameter cet"};

static void add(GPtrArray *missing, const char *what, const Cause *cause, const HostInfo *info)
{
	HostMissing *entry = g_new(HostMissing, 1);

	entry->what = what;
	entry->why = g_strconcat(cause->why, cause->fact ? cause->fact(info) : NULL, NULL);
	entry->remedy = cause->remedy;
	g_ptr_array_add(missing, entry);
}

static void missing_free(void *data)
{
	HostMissing *entry = data;

	g_free(entry->why);
	g_free(entry);
}

static unsigned absent_things(const HostInfo *info)
{
	unsigned absent = 0;

	/* Nothing can be said of CET before there is a KVM to ask. */
	if (info->access != HOST_KVM_USABLE)
		return THING_KVM;
	if (!(info->cet.features & CET_FEATURE_SHSTK))
		absent |= THING_SHSTK;
	if (!(info->cet.features & CET_FEATURE_IBT))
		absent |= THING_IBT;
	if (!info->guest_ssp)
		absent |= THING_GUEST_SSP;
	return absent;
}

GPtrArray *host_info_missing(const HostInfo *info)
{
	GPtrArray *missing = g_ptr_array_new_with_free_func(missing_free);
	unsigned absent = absent_things(info);

	for (unsigned i = 0; i < G_N_ELEMENTS(things); i++) {
		bool explained = false;

		if (!(absent & things[i].thing))
			continue;
		for (unsigned j = 0; j < G_N_ELEMENTS(causes); j++) {
			if (!(causes[j].things & things[i].thing) || !causes[j].holds(info))
				continue;
			add(missing, things[i].name, &causes[j], info);
			explained = true;
		}
		if (!explained)
			add(missing, things[i].name, &unknown, info);
	}
	return missing;
}
