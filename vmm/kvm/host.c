// SPDX-License-Identifier: MIT
#include "kvm/host.h"

#include "base/error.h"
#include "cet/cpuid.h"
#include "kvm/kvm.h"
#include "umbra/cet.h"
#include "umbra/one_reg.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#define MSR_VMX_BASIC 0x480

static void probe_cpu(const char *cpuinfo, HostCpu *cpu)
{
	unsigned a, b, c, d;
	g_autofree char *text = NULL;

	if (__get_cpuid(0, &a, &b, &c, &d)) {
		memcpy(cpu->vendor, &b, 4);
		memcpy(cpu->vendor + 4, &d, 4);
		memcpy(cpu->vendor + 8, &c, 4);
	}
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		cpu->shstk = c >> 7 & 1;
		cpu->ibt = d >> 20 & 1;
	}
	if (__get_cpuid_count(0xd, 1, &a, &b, &c, &d))
		cpu->xstates = (c >> 11 & 3) == 3;
	/* Where the kernel's own list cannot be read, it explains nothing. */
	cpu->ibt_known = !g_file_get_contents(cpuinfo, &text, NULL, NULL) ||
			 g_regex_match_simple("^flags\\s*:.*\\bibt\\b", text, G_REGEX_MULTILINE, 0);
}

static void probe_modules(const char *sys_module, HostInfo *info)
{
	static const char *const backends[] = {"kvm_intel", "kvm_amd"};

	for (unsigned i = 0; i < G_N_ELEMENTS(backends); i++) {
		g_autofree char *path = g_build_filename(sys_module, backends[i], NULL);

		if (g_file_test(path, G_FILE_TEST_IS_DIR))
			info->backend = backends[i];
	}
	for (unsigned i = 0; i < HOST_N_PARAMETERS; i++) {
		g_autofree char *path =
			g_build_filename(sys_module, host_parameters[i].module, "parameters",
					 host_parameters[i].name, NULL);

		if (g_file_get_contents(path, &info->parameters[i], NULL, NULL))
			g_strchomp(info->parameters[i]);
	}
}

/* Notes why there is no KVM to ask. */
static void refuse(HostInfo *info, HostAccess access, const GError *error)
{
	info->access = access;
	info->reason = g_strdup(error->message);
}

/* Which kind of no: the same file opened once more, for errno alone. */
static HostAccess classify(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return HOST_KVM_ALIEN;
	}
	switch (errno) {
	case ENOENT:
	case ENOTDIR:
	case ENODEV:
	case ENXIO:
		return HOST_KVM_ABSENT;
	case EACCES:
	case EPERM:
		return HOST_KVM_DENIED;
	case EISDIR:
		return HOST_KVM_ALIEN;
	default:
		return HOST_KVM_FAILED;
	}
}

static bool probe_cpuid(HostInfo *info, const KvmSystem *kvm, GError **error)
{
	const struct kvm_cpuid_entry2 *xstate;

	info->cpuid = kvm_system_cpuid(kvm, error);
	if (!info->cpuid)
		return false;
	xstate = cet_cpuid_find(info->cpuid, 0xd, 0);
	info->xcr0 = xstate ? (uint64_t)xstate->edx << 32 | xstate->eax : 1;
	info->cet = cet_cpuid_features(info->cpuid);
	info->cet.ignores_msrs = host_info_is(info, HOST_PARAMETER_KVM_IGNORE_MSRS, true);
	return true;
}

static bool probe_msrs(HostInfo *info, const KvmSystem *kvm, GError **error)
{
	struct kvm_msr_list count = {.nmsrs = 0};
	g_autofree struct kvm_msr_list *list = NULL;

	/* With no room KVM fails with E2BIG and tells how many there are. */
	if (ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, &count) < 0 && errno != E2BIG)
		return umbra_fail_errno(error, errno, "KVM_GET_MSR_INDEX_LIST");
	list = g_malloc0(sizeof(*list) + count.nmsrs * sizeof(list->indices[0]));
	list->nmsrs = count.nmsrs;
	if (ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
		return umbra_fail_errno(error, errno, "KVM_GET_MSR_INDEX_LIST");
	info->msrs = g_memdup2(list->indices, list->nmsrs * sizeof(list->indices[0]));
	info->n_msrs = list->nmsrs;
	return true;
}

/* The VMX capabilities that KVM would give a guest; there are none without nested VMX. */
static void probe_vmx(HostInfo *info, const KvmSystem *kvm)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = {.head.nmsrs = 1, .entry.index = MSR_VMX_BASIC};

	if (host_info_capability(info, KVM_CAP_GET_MSR_FEATURES) <= 0)
		return;
	/* A KVM without VMX may answer the MSR with 0; a real one has a revision in it. */
	if (ioctl(kvm->fd, KVM_GET_MSRS, &msrs) != 1 || msrs.entry.data == 0)
		return;
	info->vmx_basic_known = true;
	info->vmx_basic = msrs.entry.data;
}

/* Asks a vCPU that has its CPUID. EINVAL means that x86 has no such list here, E2BIG that it is
 * longer than `ids`: neither is a failure of KVM. */
static bool names_guest_ssp(const KvmVcpu *vcpu)
{
	struct {
		struct kvm_reg_list head;
		uint64_t ids[64];
	} list = {.head.n = G_N_ELEMENTS(list.ids)};

	if (ioctl(vcpu->fd, KVM_GET_REG_LIST, &list) < 0)
		return false;
	for (uint64_t i = 0; i < MIN(list.head.n, G_N_ELEMENTS(list.ids)); i++)
		if (list.ids[i] == UMBRA_ONE_REG_GUEST_SSP)
			return true;
	return false;
}

static bool probe_traits(HostInfo *info, const KvmVcpu *vcpu, GError **error)
{
	int failed = cet_traits(vcpu->fd, &info->cet, &info->cet.traits);

	return failed == 0 ||
	       umbra_fail_errno(error, -failed, "cannot find out what KVM takes in s_cet");
}

/* A vCPU that has set none of its own has the host's frequency. */
static uint32_t tsc_khz_of(const KvmVcpu *vcpu)
{
	int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ);

	return khz > 0 ? (uint32_t)khz : 0;
}

static bool probe_vcpu(HostInfo *info, const KvmSystem *kvm, GError **error)
{
	KvmVm vm;
	KvmVcpu vcpu;
	bool made, set = false;

	if (!kvm_vm_init(&vm, kvm, error))
		return false;
	made = kvm_vcpu_init(&vcpu, &vm, 0, error);
	if (made) {
		set = kvm_vcpu_set_cpuid(&vcpu, info->cpuid, error);
		info->guest_ssp = set && names_guest_ssp(&vcpu);
		set = set && probe_traits(info, &vcpu, error);
		info->tsc_khz = tsc_khz_of(&vcpu);
		kvm_vcpu_finish(&vcpu);
	}
	kvm_vm_finish(&vm);
	return set;
}

static bool probe_kvm(HostInfo *info, const KvmSystem *kvm, GError **error)
{
	info->api_version = KVM_API_VERSION; /* kvm_system_init() takes no other */
	for (unsigned i = 0; i < HOST_N_CAPABILITIES; i++)
		info->capabilities[i] = kvm_system_extension(kvm, host_capabilities[i].number);
	probe_vmx(info, kvm);
	return probe_cpuid(info, kvm, error) && probe_msrs(info, kvm, error);
}

/* KVM has the register for every guest whose CPUID has SHSTK (arch/x86/kvm/x86.c). */
static bool guess_vcpu(HostInfo *info, const KvmSystem *kvm G_GNUC_UNUSED,
		       GError **error G_GNUC_UNUSED)
{
	info->guest_ssp = host_info_capability(info, KVM_CAP_ONE_REG) > 0 &&
			  info->cet.features & CET_FEATURE_SHSTK;
	return true;
}

typedef bool ProbeVcpu(HostInfo *info, const KvmSystem *kvm, GError **error);

static void probe(const HostPaths *paths, ProbeVcpu *ask_vcpu, HostInfo *info)
{
	g_autoptr(GError) error = NULL;
	struct utsname names;
	KvmSystem kvm;

	*info = (HostInfo){.path = g_strdup(paths->kvm ? paths->kvm : KVM_DEFAULT_PATH)};
	info->kernel = g_strdup(uname(&names) == 0 ? names.release : "unknown");
	probe_cpu(paths->cpuinfo ? paths->cpuinfo : "/proc/cpuinfo", &info->cpu);
	probe_modules(paths->sys_module ? paths->sys_module : "/sys/module", info);
	if (!kvm_system_init(&kvm, info->path, &error)) {
		refuse(info, classify(info->path), error);
		return;
	}
	if (!probe_kvm(info, &kvm, &error) || !ask_vcpu(info, &kvm, &error))
		refuse(info, HOST_KVM_FAILED, error);
	kvm_system_finish(&kvm);
}

void host_probe(const HostPaths *paths, HostInfo *info)
{
	probe(paths, probe_vcpu, info);
}

void host_probe_quick(const HostPaths *paths, HostInfo *info)
{
	probe(paths, guess_vcpu, info);
}
