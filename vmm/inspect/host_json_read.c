// SPDX-License-Identifier: MIT
#include "inspect/host_text.h"

#include "base/error.h"
#include "inspect/host_names.h"
#include "inspect/json_hex.h"
#include "inspect/json_read.h"
#include "inspect/traits_json.h"

#include <string.h>

#define TEXT_MAX       4096
#define CPUID_MAX      256 /* KVM_MAX_CPUID_ENTRIES of Linux */
#define MSRS_MAX       4096
#define VALUE_MAX      INT_MAX
#define KHZ_MAX	       100000000u /* 100 GHz */
#define DOCUMENT_DEPTH 16

const char *const host_access_names[HOST_N_ACCESSES] = {
	[HOST_KVM_USABLE] = "usable", [HOST_KVM_ABSENT] = "absent", [HOST_KVM_DENIED] = "denied",
	[HOST_KVM_ALIEN] = "alien",   [HOST_KVM_FAILED] = "failed",
};

/* What was looked for, and where: all errors of a reader read alike. */
static bool bad(GError **error, const char *what)
{
	return umbra_fail(error, UMBRA_ERROR_INPUT,
			  "this is no description of a host: %s is missing or wrong (`umbra host "
			  "--json` on that host makes one)",
			  what);
}

static bool read_access(json_object *kvm, HostInfo *info, GError **error)
{
	const char *access = json_read_text(kvm, "access", TEXT_MAX);
	const char *reason = json_read_text(kvm, "reason", TEXT_MAX);
	const char *path = json_read_text(kvm, "path", TEXT_MAX);

	for (unsigned i = 0; access && i < HOST_N_ACCESSES; i++)
		if (strcmp(access, host_access_names[i]) == 0) {
			info->access = (HostAccess)i;
			info->path = g_strdup(path);
			info->reason = g_strdup(reason);
			return true;
		}
	return bad(error, "kvm.access");
}

/* Nobody else knows the names: what is not one of them is told as none. */
static void read_backend(json_object *kvm, HostInfo *info)
{
	static const char *const backends[] = {"kvm_intel", "kvm_amd"};
	const char *backend = json_read_text(kvm, "backend", TEXT_MAX);

	for (size_t i = 0; backend && i < G_N_ELEMENTS(backends); i++)
		if (strcmp(backend, backends[i]) == 0)
			info->backend = backends[i];
}

static void read_parameters(json_object *kvm, HostInfo *info)
{
	json_object *parameters = json_member(kvm, "parameters", json_type_object);

	for (unsigned i = 0; i < HOST_N_PARAMETERS; i++) {
		g_autofree char *name = g_strdup_printf("%s.%s", host_parameters[i].module,
							host_parameters[i].name);

		info->parameters[i] = g_strdup(json_read_text(parameters, name, TEXT_MAX));
	}
}

/* One that is not told is not known to be absent: another version of umbra wrote this. */
static bool read_capabilities(json_object *kvm, HostInfo *info, GError **error)
{
	json_object *capabilities = json_member(kvm, "capabilities", json_type_object);

	for (unsigned i = 0; i < HOST_N_CAPABILITIES; i++) {
		unsigned value;

		if (!json_read_number(capabilities, host_capabilities[i].name, VALUE_MAX, &value)) {
			g_autofree char *what =
				g_strdup_printf("kvm.capabilities.%s", host_capabilities[i].name);

			return bad(error, what);
		}
		info->capabilities[i] = (int)value;
	}
	return true;
}

static bool read_leaf(json_object *json, struct kvm_cpuid_entry2 *leaf)
{
	unsigned flags;

	if (!json_read_hex32(json, "function", &leaf->function) ||
	    !json_read_number(json, "index", UINT32_MAX, &leaf->index) ||
	    !json_read_number(json, "flags", UINT32_MAX, &flags))
		return false;
	leaf->flags = flags;
	return json_read_hex32(json, "eax", &leaf->eax) &&
	       json_read_hex32(json, "ebx", &leaf->ebx) &&
	       json_read_hex32(json, "ecx", &leaf->ecx) && json_read_hex32(json, "edx", &leaf->edx);
}

static bool read_cpuid(json_object *kvm, HostInfo *info, GError **error)
{
	json_object *leaves = json_member(kvm, "cpuid", json_type_array);
	size_t n = leaves ? json_object_array_length(leaves) : 0;

	if (n == 0 || n > CPUID_MAX)
		return bad(error, "kvm.cpuid");
	info->cpuid = g_malloc0(sizeof(*info->cpuid) + n * sizeof(info->cpuid->entries[0]));
	for (size_t i = 0; i < n; i++)
		if (!read_leaf(json_object_array_get_idx(leaves, i), &info->cpuid->entries[i]))
			return bad(error, "a leaf of kvm.cpuid");
	info->cpuid->nent = (uint32_t)n;
	return true;
}

static bool read_msrs(json_object *kvm, HostInfo *info, GError **error)
{
	json_object *msrs = json_member(kvm, "msrs", json_type_array);
	size_t n = msrs ? json_object_array_length(msrs) : 0;

	if (!msrs || n > MSRS_MAX)
		return bad(error, "kvm.msrs");
	info->msrs = g_new0(uint32_t, n + 1);
	for (size_t i = 0; i < n; i++)
		if (!json_hex32(json_object_array_get_idx(msrs, i), &info->msrs[i]))
			return bad(error, "a number of kvm.msrs");
	info->n_msrs = (unsigned)n;
	return true;
}

/*
 * CPUID says what there is of CET, and the summary says it again: a description that
 * somebody has changed in one place only is not believed.
 */
static bool read_cet(json_object *cet, HostInfo *info, GError **error)
{
	json_object *traits;
	bool shstk, ibt;

	info->cet = cet_cpuid_features(info->cpuid);
	info->cet.ignores_msrs = host_info_is(info, HOST_PARAMETER_KVM_IGNORE_MSRS, true);
	if (!json_read_bool(cet, "shstk", &shstk) || !json_read_bool(cet, "ibt", &ibt) ||
	    !json_read_bool(cet, "guest_ssp", &info->guest_ssp))
		return bad(error, "a part of cet");
	/* Descriptions of the first release have none. */
	if (json_object_object_get_ex(cet, "traits", &traits) &&
	    !cet_traits_from_json(traits, &info->cet.traits))
		return bad(error, "cet.traits");
	if (shstk != !!(info->cet.features & CET_FEATURE_SHSTK) ||
	    ibt != !!(info->cet.features & CET_FEATURE_IBT))
		return umbra_fail(
			error, UMBRA_ERROR_INPUT,
			"this description of a host contradicts itself: cet and kvm.cpuid "
			"differ in shstk or ibt");
	return true;
}

static bool read_kvm(json_object *root, HostInfo *info, GError **error)
{
	json_object *kvm = json_member(root, "kvm", json_type_object);
	unsigned api;

	if (!read_access(kvm, info, error))
		return false;
	read_backend(kvm, info);
	read_parameters(kvm, info);
	if (info->access != HOST_KVM_USABLE)
		return true;
	if (!json_read_number(kvm, "api_version", VALUE_MAX, &api))
		return bad(error, "kvm.api_version");
	info->api_version = (int)api;
	if (!json_hex_get(kvm, "xcr0", &info->xcr0))
		return bad(error, "kvm.xcr0");
	/* Some KVMs do not tell it. */
	if (json_object_object_get_ex(kvm, "tsc_khz", NULL) &&
	    !json_read_number(kvm, "tsc_khz", KHZ_MAX, &info->tsc_khz))
		return bad(error, "kvm.tsc_khz");
	return read_capabilities(kvm, info, error) && read_cpuid(kvm, info, error) &&
	       read_msrs(kvm, info, error) &&
	       read_cet(json_member(root, "cet", json_type_object), info, error);
}

static bool read_root(json_object *root, HostInfo *info, GError **error)
{
	json_object *cpu = json_member(root, "cpu", json_type_object);
	const char *kernel = json_read_text(root, "kernel", TEXT_MAX);
	const char *vendor = json_read_text(cpu, "vendor", sizeof(info->cpu.vendor) - 1);
	unsigned version;

	if (!json_read_number(root, "version", UINT32_MAX, &version))
		return bad(error, "version");
	if (version != HOST_DESCRIPTION_VERSION)
		return umbra_fail(
			error, UMBRA_ERROR_INPUT,
			"this description of a host has version %u, and this umbra reads %u",
			version, HOST_DESCRIPTION_VERSION);
	if (!kernel)
		return bad(error, "kernel");
	if (!vendor || !json_read_bool(cpu, "shstk", &info->cpu.shstk) ||
	    !json_read_bool(cpu, "ibt", &info->cpu.ibt) ||
	    !json_read_bool(cpu, "xstates", &info->cpu.xstates))
		return bad(error, "a part of cpu");
	info->kernel = g_strdup(kernel);
	g_strlcpy(info->cpu.vendor, vendor, sizeof(info->cpu.vendor));
	return read_kvm(root, info, error);
}

bool host_info_from_json(const char *text, size_t size, HostInfo *ret_info, GError **error)
{
	g_autoptr(json_tokener) tokener = json_tokener_new_ex(DOCUMENT_DEPTH);
	/* Before the first error the info must be one that can be finished. */
	*ret_info = (HostInfo){.access = HOST_KVM_FAILED};
	if (size > HOST_JSON_MAX)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "this is no description of a host: it has more than %u bytes",
				  HOST_JSON_MAX);
	g_autoptr(json_object) root = json_tokener_parse_ex(tokener, text, (int)size);

	if (!json_object_is_type(root, json_type_object))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "this is no description of a host: no JSON object (`umbra host "
				  "--json` on that host makes one)");
	/* What follows the object must be nothing but blanks. */
	for (size_t i = json_tokener_get_parse_end(tokener); i < size; i++)
		if (!g_ascii_isspace(text[i]))
			return bad(error, "its end");
	return read_root(root, ret_info, error);
}
