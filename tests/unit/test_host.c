// SPDX-License-Identifier: MIT
/* What `umbra host` answers, on hosts that are made up here and on paths that are no KVM. */
#include "inspect/host_text.h"
#include "kvm/host.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

/* A host, told as differences to a good Intel host with Linux 7.3. */
typedef struct Case {
	const char *name;
	void (*spoil)(HostInfo *info);
	/* "what: part of why", in order; nothing else may be missing */
	const char *expected[8];
} Case;

static void set_capability(HostInfo *info, int number, int value)
{
	for (unsigned i = 0; i < HOST_N_CAPABILITIES; i++)
		if (host_capabilities[i].number == number)
			info->capabilities[i] = value;
}

static void set_parameter(HostInfo *info, HostParameter parameter, const char *value)
{
	g_free(info->parameters[parameter]);
	info->parameters[parameter] = g_strdup(value);
}

static void good_host(HostInfo *info)
{
	*info = (HostInfo){
		.access = HOST_KVM_USABLE,
		.path = g_strdup("/dev/kvm"),
		.kernel = g_strdup("7.3.4+deb13-cloud-amd64"),
		.cpu = {.vendor = "GenuineIntel",
			.shstk = true,
			.ibt = true,
			.xstates = true,
			.ibt_known = true},
		.backend = "kvm_intel",
		.api_version = 12,
		.cet = {.features = CET_FEATURE_SHSTK | CET_FEATURE_IBT | CET_FEATURE_LM |
				    CET_FEATURE_XSAVES,
			.linear_bits = 48,
			.xss = 0x1800},
		.guest_ssp = true,
		.vmx_basic_known = true,
		.vmx_basic = 1ULL << 56 | 1,
	};
	set_capability(info, KVM_CAP_ONE_REG, 1);
	set_parameter(info, HOST_PARAMETER_INTEL_CET, "Y");
	set_parameter(info, HOST_PARAMETER_INTEL_EPT, "Y");
	set_parameter(info, HOST_PARAMETER_INTEL_UNRESTRICTED_GUEST, "Y");
}

/* What every host without KVM's CET looks like: all three things are gone together. */
static void no_cet(HostInfo *info)
{
	info->cet.features &= (uint32_t) ~(CET_FEATURE_SHSTK | CET_FEATURE_IBT);
	info->cet.xss = 0;
	info->guest_ssp = false;
}

static void spoil_nothing(HostInfo *info)
{
	(void)info;
}

static void spoil_kernel(HostInfo *info)
{
	no_cet(info);
	g_free(info->kernel);
	info->kernel = g_strdup("6.17.13+deb13-cloud-amd64");
	set_capability(info, KVM_CAP_ONE_REG, 0);
	set_parameter(info, HOST_PARAMETER_INTEL_CET, NULL);
	info->vmx_basic = 1; /* KVM does not pass bit 56 on before it knows CET */
}

static void spoil_cet_parameter(HostInfo *info)
{
	no_cet(info);
	set_parameter(info, HOST_PARAMETER_INTEL_CET, "N");
}

static void spoil_ept(HostInfo *info)
{
	no_cet(info);
	set_parameter(info, HOST_PARAMETER_INTEL_EPT, "0");
	set_parameter(info, HOST_PARAMETER_INTEL_UNRESTRICTED_GUEST, "0");
	set_capability(info, KVM_CAP_SMALLER_MAXPHYADDR, 1);
}

static void spoil_unrestricted(HostInfo *info)
{
	no_cet(info);
	set_parameter(info, HOST_PARAMETER_INTEL_UNRESTRICTED_GUEST, "N");
}

static void spoil_maxphyaddr(HostInfo *info)
{
	no_cet(info);
	set_capability(info, KVM_CAP_SMALLER_MAXPHYADDR, 1);
}

static void spoil_vmx_basic(HostInfo *info)
{
	no_cet(info);
	info->vmx_basic = 1;
}

static void spoil_xsaves(HostInfo *info)
{
	no_cet(info);
	info->cet.features &= (uint32_t)~CET_FEATURE_XSAVES;
}

static void spoil_xstates(HostInfo *info)
{
	no_cet(info);
	info->cpu.xstates = false;
}

static void spoil_cpu(HostInfo *info)
{
	no_cet(info);
	info->cpu.shstk = info->cpu.ibt = info->cpu.xstates = info->cpu.ibt_known = false;
}

static void spoil_ibt(HostInfo *info)
{
	info->cet.features &= (uint32_t)~CET_FEATURE_IBT;
	info->cpu.ibt_known = false;
}

static void spoil_unexplained(HostInfo *info)
{
	no_cet(info);
}

/* A parameter of the module that does not do the work explains nothing. */
static void spoil_with_idle_module(HostInfo *info)
{
	no_cet(info);
	set_parameter(info, HOST_PARAMETER_AMD_NPT, "N");
}

static void spoil_kvm(HostInfo *info)
{
	info->access = HOST_KVM_FAILED;
	info->reason = g_strdup("KVM_CREATE_VM: Device or resource busy");
}

static void make_amd(HostInfo *info)
{
	strcpy(info->cpu.vendor, "AuthenticAMD");
	info->cpu.ibt = info->cpu.ibt_known = false;
	info->backend = "kvm_amd";
	info->cet.features &= (uint32_t)~CET_FEATURE_IBT;
	info->vmx_basic_known = false;
	for (unsigned i = 0; i < HOST_N_PARAMETERS; i++)
		set_parameter(info, (HostParameter)i, NULL);
	set_parameter(info, HOST_PARAMETER_AMD_NPT, "Y");
}

static void make_amd_without_npt(HostInfo *info)
{
	make_amd(info);
	no_cet(info);
	set_parameter(info, HOST_PARAMETER_AMD_NPT, "N");
	set_capability(info, KVM_CAP_SMALLER_MAXPHYADDR, 1);
}

/* KVM on something that is neither VMX nor SVM, with the uAPI of 6.18. */
static void make_other(HostInfo *info)
{
	make_amd(info);
	no_cet(info);
	info->backend = NULL;
	info->cet.features &= (uint32_t)~CET_FEATURE_XSAVES;
	set_capability(info, KVM_CAP_SMALLER_MAXPHYADDR, 1);
}

static void make_backport(HostInfo *info)
{
	g_free(info->kernel);
	info->kernel = g_strdup("5.14.0-900.el9");
}

static void spoil_one_reg(HostInfo *info)
{
	info->guest_ssp = false;
	set_capability(info, KVM_CAP_ONE_REG, 0);
}

static const Case cases[] = {
	{"good", spoil_nothing, {NULL}},
	{"backport", make_backport, {NULL}},
	{"old-kernel",
	 spoil_kernel,
	 {"shstk: this kernel is 6.17.13", "ibt: this kernel is 6.17.13",
	  "guest_ssp: this kernel is 6.17.13"}},
	{"cet=0",
	 spoil_cet_parameter,
	 {"shstk: kvm_intel.cet is N", "ibt: kvm_intel.cet is N", "guest_ssp: kvm_intel.cet is N"}},
	{"ept=0",
	 spoil_ept,
	 {"shstk: kvm_intel.ept is N", "ibt: kvm_intel.ept is N", "guest_ssp: kvm_intel.ept is N"}},
	{"unrestricted_guest=0",
	 spoil_unrestricted,
	 {"shstk: unrestricted_guest is N", "ibt: unrestricted_guest is N",
	  "guest_ssp: unrestricted_guest is N"}},
	{"allow_smaller_maxphyaddr=1",
	 spoil_maxphyaddr,
	 {"shstk: allow_smaller_maxphyaddr is Y", "ibt: allow_smaller_maxphyaddr is Y",
	  "guest_ssp: allow_smaller_maxphyaddr is Y"}},
	{"vmx-basic",
	 spoil_vmx_basic,
	 {"shstk: IA32_VMX_BASIC[56]", "ibt: IA32_VMX_BASIC[56]", "guest_ssp: IA32_VMX_BASIC[56]"}},
	{"xsaves", spoil_xsaves, {"shstk: XSAVES", "ibt: XSAVES", "guest_ssp: XSAVES"}},
	{"xstates", spoil_xstates, {"shstk: CET_S", "ibt: CET_S", "guest_ssp: CET_S"}},
	{"cpu",
	 spoil_cpu,
	 {"shstk: CPU has no shadow stacks", "ibt: CPU has no indirect branch tracking",
	  "guest_ssp: CPU has no shadow stacks"}},
	{"ibt=off", spoil_ibt, {"ibt: kernel hides indirect branch tracking"}},
	{"unexplained",
	 spoil_unexplained,
	 {"shstk: nothing that can be seen", "ibt: nothing that can be seen",
	  "guest_ssp: nothing that can be seen"}},
	{"idle-module",
	 spoil_with_idle_module,
	 {"shstk: nothing that can be seen", "ibt: nothing that can be seen",
	  "guest_ssp: nothing that can be seen"}},
	{"kvm-failed", spoil_kvm, {"kvm: KVM_CREATE_VM: Device or resource busy"}},
	{"amd", make_amd, {"ibt: AMD's CPUs have no indirect branch tracking"}},
	{"amd-npt=0",
	 make_amd_without_npt,
	 {"shstk: kvm_amd.npt is N", "ibt: AMD's CPUs", "guest_ssp: kvm_amd.npt is N"}},
	{"other-backend",
	 make_other,
	 {"shstk: only kvm_intel and kvm_amd", "ibt: only kvm_intel and kvm_amd", "ibt: AMD's CPUs",
	  "guest_ssp: only kvm_intel and kvm_amd"}},
	{"one-reg", spoil_one_reg, {"guest_ssp: no KVM_CAP_ONE_REG"}},
};

static void test_missing(const void *data)
{
	const Case *c = data;
	g_auto(HostInfo) info = {0};
	unsigned n = 0;

	good_host(&info);
	c->spoil(&info);
	g_autoptr(GPtrArray) missing = host_info_missing(&info);

	for (unsigned i = 0; i < missing->len; i++) {
		const HostMissing *entry = missing->pdata[i];

		g_test_message("%s: %s", entry->what, entry->why);
	}
	while (c->expected[n])
		n++;
	g_assert_cmpuint(missing->len, ==, n);
	for (unsigned i = 0; i < n; i++) {
		const HostMissing *entry = missing->pdata[i];
		g_auto(GStrv) expected = g_strsplit(c->expected[i], ": ", 2);

		g_assert_cmpstr(entry->what, ==, expected[0]);
		g_assert_nonnull(strstr(entry->why, expected[1]));
		g_assert_cmpuint(strlen(entry->remedy), >, 10);
	}
	g_assert_true(host_info_has_cet(&info) ==
		      (n == 0 || (n == 1 && g_str_has_prefix(c->expected[0], "ibt"))));
}

static void check_no_kvm(const char *path, HostAccess access, const char *why)
{
	g_auto(HostInfo) info = {0};

	host_probe(&(HostPaths){.kvm = path}, &info);
	g_autoptr(GPtrArray) missing = host_info_missing(&info);
	g_autofree char *json = host_json(&info);
	g_autofree char *text = host_text(&info);
	const HostMissing *entry = missing->pdata[0];

	g_assert_cmpint(info.access, ==, access);
	g_assert_false(host_info_has_cet(&info));
	g_assert_cmpuint(missing->len, ==, 1);
	g_assert_cmpstr(entry->what, ==, "kvm");
	g_assert_nonnull(strstr(entry->why, why));
	g_assert_nonnull(strstr(entry->why, path));
	g_assert_nonnull(strstr(text, why));
	g_assert_nonnull(strstr(json, why));
}

static void test_no_kvm(void)
{
	check_no_kvm("/nonexistent/kvm", HOST_KVM_ABSENT, "there is no");
	check_no_kvm("/dev/null/kvm", HOST_KVM_ABSENT, "there is no");
	check_no_kvm("/dev/null", HOST_KVM_ALIEN, "does not answer as KVM");
	check_no_kvm("/", HOST_KVM_ALIEN, "does not answer as KVM");
}

static void test_no_permission(void)
{
	g_autofree char *path = g_build_filename(g_get_tmp_dir(), "umbra-kvm-XXXXXX", NULL);
	int fd = g_mkstemp_full(path, O_RDWR, 0);

	g_assert_cmpint(fd, >=, 0);
	close(fd);
	/* The superuser may open every file; another effective user may not. */
	if (geteuid() == 0)
		g_assert_cmpint(seteuid(65534), ==, 0);
	check_no_kvm(path, HOST_KVM_DENIED, "no permission to open");
	if (getuid() == 0)
		g_assert_cmpint(seteuid(0), ==, 0);
	g_assert_cmpint(g_unlink(path), ==, 0);
}

/* Parameters and the backend come from files; their last newline does not. */
static void test_modules(void)
{
	g_autofree char *root = g_dir_make_tmp("umbra-host-XXXXXX", NULL);
	g_autofree char *parameters = g_build_filename(root, "kvm_intel/parameters", NULL);
	g_autofree char *cet = g_build_filename(parameters, "cet", NULL);
	g_autofree char *cpuinfo = g_build_filename(root, "cpuinfo", NULL);
	g_autofree char *module = g_path_get_dirname(parameters);
	g_auto(HostInfo) info = {0};
	g_auto(HostInfo) without = {0};

	g_assert_cmpint(g_mkdir_with_parents(parameters, 0700), ==, 0);
	g_assert_true(g_file_set_contents(cet, "N\n", -1, NULL));
	g_assert_true(g_file_set_contents(cpuinfo, "flags\t\t: fpu ibt vmx\n", -1, NULL));
	host_probe(&(HostPaths){"/nonexistent", root, cpuinfo}, &info);
	g_assert_cmpstr(info.backend, ==, "kvm_intel");
	g_assert_cmpstr(info.parameters[HOST_PARAMETER_INTEL_CET], ==, "N");
	g_assert_null(info.parameters[HOST_PARAMETER_INTEL_EPT]);
	g_assert_true(info.cpu.ibt_known);

	g_assert_true(g_file_set_contents(cpuinfo, "flags\t\t: fpu ibtx\nibt\n", -1, NULL));
	host_probe(&(HostPaths){"/nonexistent", parameters, cpuinfo}, &without);
	g_assert_null(without.backend);
	g_assert_false(without.cpu.ibt_known);

	g_unlink(cet);
	g_unlink(cpuinfo);
	g_rmdir(parameters);
	g_rmdir(module);
	g_rmdir(root);
}

static struct json_object *member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	g_assert_true(json_object_object_get_ex(object, name, &value));
	return value;
}

static void test_json(void)
{
	g_auto(HostInfo) info = {0};
	struct json_object *root, *kvm, *cet;

	good_host(&info);
	info.cpuid = g_malloc0(sizeof(*info.cpuid) + sizeof(info.cpuid->entries[0]));
	info.cpuid->nent = 1;
	info.cpuid->entries[0] =
		(struct kvm_cpuid_entry2){.function = 0x80000001, .index = 3, .edx = 0xdeadbeef};
	info.msrs = g_new(uint32_t, 2);
	info.msrs[0] = 0x6a0;
	info.msrs[1] = 0xda0;
	info.n_msrs = 2;
	info.xcr0 = 0x207;
	g_autofree char *text = host_json(&info);

	g_assert_true(g_str_has_suffix(text, "}\n"));
	root = json_tokener_parse(text);
	g_assert_nonnull(root);
	g_assert_cmpint(json_object_get_int(member(root, "version")), ==, 1);
	g_assert_cmpstr(json_object_get_string(member(root, "kernel")), ==,
			"7.3.4+deb13-cloud-amd64");
	kvm = member(root, "kvm");
	g_assert_cmpstr(json_object_get_string(member(kvm, "xcr0")), ==, "0x207");
	g_assert_cmpstr(json_object_get_string(member(kvm, "xss")), ==, "0x1800");
	g_assert_cmpint(json_object_get_int(member(member(kvm, "capabilities"), "one_reg")), ==, 1);
	g_assert_cmpstr(json_object_get_string(member(kvm, "msrs")), ==,
			"[ \"0x6a0\", \"0xda0\" ]");
	g_assert_cmpstr(json_object_get_string(
				member(json_object_array_get_idx(member(kvm, "cpuid"), 0), "edx")),
			==, "0xdeadbeef");
	g_assert_cmpstr(json_object_get_string(member(member(kvm, "parameters"), "kvm_intel.cet")),
			==, "Y");
	cet = member(root, "cet");
	g_assert_true(json_object_get_boolean(member(cet, "shstk")));
	g_assert_true(json_object_get_boolean(member(cet, "ibt")));
	g_assert_true(json_object_get_boolean(member(cet, "guest_ssp")));
	g_assert_cmpstr(json_object_get_string(member(cet, "registers")), ==,
			"[ \"u_cet\", \"guest_ssp\" ]");
	g_assert_cmpuint(json_object_array_length(member(root, "missing")), ==, 0);
	json_object_put(root);
}

/* A cause that takes three things away is told once. */
static void test_text(void)
{
	g_auto(HostInfo) info = {0};

	good_host(&info);
	spoil_kernel(&info);
	g_autofree char *text = host_text(&info);
	const char *first = strstr(text, "this kernel is 6.17.13");

	g_assert_nonnull(strstr(text, "missing    shstk, ibt, guest_ssp\n"));
	g_assert_nonnull(first);
	g_assert_null(strstr(first + 1, "this kernel is"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strdup_printf("/host/missing/%s", cases[i].name);

		g_test_add_data_func(path, &cases[i], test_missing);
	}
	g_test_add_func("/host/no-kvm", test_no_kvm);
	g_test_add_func("/host/no-permission", test_no_permission);
	g_test_add_func("/host/modules", test_modules);
	g_test_add_func("/host/json", test_json);
	g_test_add_func("/host/text", test_text);
	return g_test_run();
}
