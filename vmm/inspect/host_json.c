// SPDX-License-Identifier: MIT
#include "inspect/host_text.h"

#include "inspect/host_names.h"
#include "inspect/json_hex.h"
#include "inspect/traits_json.h"
#include "umbra/cet.h"

#include <json-c/json.h>

typedef struct json_object Json;

static Json *json_text(const char *text)
{
	return text ? json_object_new_string(text) : NULL;
}

static Json *capabilities_json(const HostInfo *info)
{
	Json *object = json_object_new_object();

	for (unsigned i = 0; i < HOST_N_CAPABILITIES; i++)
		json_object_object_add(object, host_capabilities[i].name,
				       json_object_new_int(info->capabilities[i]));
	return object;
}

static Json *parameters_json(const HostInfo *info)
{
	Json *object = json_object_new_object();

	for (unsigned i = 0; i < HOST_N_PARAMETERS; i++) {
		g_autofree char *name = g_strdup_printf("%s.%s", host_parameters[i].module,
							host_parameters[i].name);

		if (info->parameters[i])
			json_object_object_add(object, name, json_text(info->parameters[i]));
	}
	return object;
}

static Json *cpuid_json(const struct kvm_cpuid2 *cpuid)
{
	Json *array = json_object_new_array();

	for (unsigned i = 0; cpuid && i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
		Json *leaf = json_object_new_object();

		json_object_object_add(leaf, "function", json_hex(entry->function));
		json_object_object_add(leaf, "index", json_object_new_int64(entry->index));
		json_object_object_add(leaf, "flags", json_object_new_int64(entry->flags));
		json_object_object_add(leaf, "eax", json_hex(entry->eax));
		json_object_object_add(leaf, "ebx", json_hex(entry->ebx));
		json_object_object_add(leaf, "ecx", json_hex(entry->ecx));
		json_object_object_add(leaf, "edx", json_hex(entry->edx));
		json_object_array_add(array, leaf);
	}
	return array;
}

static Json *msrs_json(const HostInfo *info)
{
	Json *array = json_object_new_array();

	for (unsigned i = 0; i < info->n_msrs; i++)
		json_object_array_add(array, json_hex(info->msrs[i]));
	return array;
}

static Json *kvm_json(const HostInfo *info)
{
	Json *object = json_object_new_object();

	json_object_object_add(object, "path", json_text(info->path));
	json_object_object_add(object, "access", json_text(host_access_names[info->access]));
	json_object_object_add(object, "reason", json_text(info->reason));
	json_object_object_add(object, "backend", json_text(info->backend));
	json_object_object_add(object, "parameters", parameters_json(info));
	if (info->access != HOST_KVM_USABLE)
		return object;
	json_object_object_add(object, "api_version", json_object_new_int(info->api_version));
	json_object_object_add(object, "capabilities", capabilities_json(info));
	json_object_object_add(object, "xcr0", json_hex(info->xcr0));
	json_object_object_add(object, "xss", json_hex(info->cet.xss));
	json_object_object_add(object, "linear_bits", json_object_new_int(info->cet.linear_bits));
	if (info->tsc_khz)
		json_object_object_add(object, "tsc_khz", json_object_new_int64(info->tsc_khz));
	json_object_object_add(object, "cpuid", cpuid_json(info->cpuid));
	json_object_object_add(object, "msrs", msrs_json(info));
	return object;
}

static Json *cpu_json(const HostCpu *cpu)
{
	Json *object = json_object_new_object();

	json_object_object_add(object, "vendor", json_text(cpu->vendor));
	json_object_object_add(object, "shstk", json_object_new_boolean(cpu->shstk));
	json_object_object_add(object, "ibt", json_object_new_boolean(cpu->ibt));
	json_object_object_add(object, "xstates", json_object_new_boolean(cpu->xstates));
	return object;
}

static Json *cet_json(const HostInfo *info)
{
	bool usable = info->access == HOST_KVM_USABLE;
	uint32_t served = usable ? host_info_registers(info) : 0;
	Json *object = json_object_new_object();
	Json *registers = json_object_new_array();

	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (served & 1u << i)
			json_object_array_add(registers, json_text(cet_registers[i].name));
	json_object_object_add(
		object, "shstk",
		json_object_new_boolean(usable && info->cet.features & CET_FEATURE_SHSTK));
	json_object_object_add(
		object, "ibt",
		json_object_new_boolean(usable && info->cet.features & CET_FEATURE_IBT));
	json_object_object_add(object, "guest_ssp",
			       json_object_new_boolean(usable && info->guest_ssp));
	json_object_object_add(object, "registers", registers);
	json_object_object_add(object, "traits", cet_traits_to_json(usable ? info->cet.traits : 0));
	return object;
}

static Json *missing_json(const HostInfo *info)
{
	g_autoptr(GPtrArray) missing = host_info_missing(info);
	Json *array = json_object_new_array();

	for (unsigned i = 0; i < missing->len; i++) {
		const HostMissing *entry = missing->pdata[i];
		Json *object = json_object_new_object();

		json_object_object_add(object, "what", json_text(entry->what));
		json_object_object_add(object, "why", json_text(entry->why));
		json_object_object_add(object, "remedy", json_text(entry->remedy));
		json_object_array_add(array, object);
	}
	return array;
}

char *host_json(const HostInfo *info)
{
	Json *root = json_object_new_object();
	char *text;

	json_object_object_add(root, "version", json_object_new_int(HOST_DESCRIPTION_VERSION));
	json_object_object_add(root, "kernel", json_text(info->kernel));
	json_object_object_add(root, "cpu", cpu_json(&info->cpu));
	json_object_object_add(root, "kvm", kvm_json(info));
	json_object_object_add(root, "cet", cet_json(info));
	json_object_object_add(root, "missing", missing_json(info));
	text = g_strconcat(json_object_to_json_string_ext(
				   root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			   "\n", NULL);
	json_object_put(root);
	return text;
}
