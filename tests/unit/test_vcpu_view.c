// SPDX-License-Identifier: MIT
#include "base/error.h"
#include "inspect/vcpu_json.h"
#include "inspect/vcpu_text.h"
#include "state/vcpu_live.h"
#include "vcpu_example.h"

#include <string.h>

static json_object *find(json_object *json, const char *path)
{
	g_auto(GStrv) keys = g_strsplit(path, ".", 0);

	for (char **key = keys; *key; key++)
		json = g_ascii_isdigit(**key)
			       ? json_object_array_get_idx(json,
							   (size_t)g_ascii_strtoull(*key, NULL, 10))
			       : json_object_object_get(json, *key);
	return json;
}

/* What stands at a path, as JSON text. */
static const char *text_at(json_object *json, const char *path)
{
	return json_object_to_json_string_ext(
		find(json, path), JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* The names and forms that programs rely on. */
static void test_json(void)
{
	static const struct {
		const char *path, *text;
	} rows[] = {
		{"id", "3"},
		{"cpl", "3"},
		{"mode", "\"long\""},
		{"rip", "\"0x401234\""},
		{"live", "{\"shstk\":true,\"ibt\":false}"},
		{"registers.0.name", "\"u_cet\""},
		{"registers.0.msr", "\"0x6a0\""},
		{"registers.0.one_reg", "\"0x20300002000006a0\""},
		{"registers.0.value", "\"0x1\""},
		{"registers.0.fields",
		 "{\"shstk_en\":true,\"wr_shstk_en\":false,\"endbr_en\":false,\"leg_iw_en\":false,"
		 "\"no_track_en\":false,\"suppress_dis\":false,\"suppress\":false,\"tracker\":"
		 "false,"
		 "\"legacy_bitmap\":\"0x0\"}"},
		{"registers.0.verdict", "\"ok\""},
		{"registers.1.name", "\"s_cet\""},
		{"registers.2.name", "\"pl0_ssp\""},
		{"registers.3.name", "\"pl1_ssp\""},
		{"registers.4.name", "\"pl2_ssp\""},
		{"registers.5.name", "\"pl3_ssp\""},
		{"registers.6.name", "\"int_ssp_tab\""},
		{"registers.7.name", "\"guest_ssp\""},
		{"registers.7.msr", "null"},
		{"registers.7.one_reg", "\"0x2030000300000000\""},
		{"registers.7.value", "\"0x7fff00000ff0\""},
		{"registers.7.fields", "{\"address\":\"0x7fff00000ff0\"}"},
		{"control",
		 "{\"cr0\":\"0x80050033\",\"cr0_wp\":true,\"cr3\":\"0x1234000\",\"cr4\":"
		 "\"0x8006f0\","
		 "\"cr4_cet\":true,\"efer\":\"0xd01\",\"xss\":\"0x800\",\"xss_cet_user\":true,"
		 "\"xss_cet_supervisor\":false}"},
		{"guest_cpu",
		 "{\"shstk\":true,\"ibt\":true,\"lm\":true,\"xsaves\":true,\"linear_bits\":48,"
		 "\"xss\":\"0x1800\"}"},
		{"problems", "[]"},
	};
	VcpuView view = vcpu_example(3);
	g_autoptr(json_object) json = vcpu_view_to_json(&view);

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("%s", rows[i].path);
		g_assert_cmpstr(text_at(json, rows[i].path), ==, rows[i].text);
	}
	g_assert_cmpuint(json_object_array_length(find(json, "registers")), ==, 8);
}

static void test_json_of_problems(void)
{
	VcpuView view = vcpu_example(0);

	view.cet.value[CET_U_CET] = 0x8000000000000004;
	g_autoptr(json_object) json = vcpu_view_to_json(&view);

	g_assert_cmpstr(text_at(json, "registers.0.verdict"), ==, "\"accepts-and-loses\"");
	g_assert_cmpstr(text_at(json, "problems.0.register"), ==, "\"u_cet\"");
	g_assert_cmpstr(text_at(json, "problems.0.value"), ==, "\"0x8000000000000004\"");
	g_assert_cmpstr(text_at(json, "problems.0.kvm"), ==, "\"accepts-and-loses\"");
	g_assert_cmpuint(json_object_array_length(find(json, "problems")), ==, 1);
	for (const char *const *key = (const char *const[]){"bits", "rule", "remedy", NULL}; *key;
	     key++)
		g_assert_cmpint(json_object_get_type(find(find(json, "problems.0"), *key)), ==,
				json_type_string);
}

static void assert_round_trip(const VcpuView *view)
{
	g_autoptr(json_object) json = vcpu_view_to_json(view);
	g_autofree char *text = g_strdup(json_object_to_json_string(json));
	g_autoptr(json_object) parsed = json_tokener_parse(text);
	VcpuView back;

	g_assert_true(vcpu_view_from_json(parsed, &back, NULL));
	g_autoptr(json_object) again = vcpu_view_to_json(&back);

	g_assert_cmpstr(json_object_to_json_string(again), ==, text);
	g_assert_cmphex(back.cet.has, ==, view->cet.has);
	g_assert_cmpmem(back.cet.value, sizeof(back.cet.value), view->cet.value,
			sizeof(view->cet.value));
}

static void test_round_trip(void)
{
	VcpuView view = vcpu_example(65535);

	assert_round_trip(&view);
	for (unsigned i = 0; i < CET_N_REGS; i++)
		view.cet.value[i] = UINT64_MAX - i;
	view.host = (CetCpu){.linear_bits = 57, .ignores_msrs = true};
	assert_round_trip(&view);
	view.cet = (CetState){.has = CET_HAS_CR | 1u << CET_S_CET,
			      .cr0 = view.paging.cr0,
			      .cr4 = view.paging.cr4};
	assert_round_trip(&view);
}

/* Each part that is missing or of another kind is an error, and never more than that. */
static void test_bad_json(void)
{
	static const char *const parts[] = {"id",      "cpl",	    "rip",     "registers",
					    "control", "guest_cpu", "host_cpu"};
	static const char *const instead[] = {"null", "-1",   "4000000000", "\"0x\"", "\"0xg\"",
					      "[1]",  "[{}]", "{}",	    "true"};
	VcpuView view = vcpu_example(0), back;

	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
		for (size_t j = 0; j < G_N_ELEMENTS(instead); j++) {
			g_autoptr(json_object) json = vcpu_view_to_json(&view);
			g_autoptr(GError) error = NULL;

			g_test_message("%s: %s", parts[i], instead[j]);
			json_object_object_add(json, parts[i], json_tokener_parse(instead[j]));
			g_assert_false(vcpu_view_from_json(json, &back, &error));
			g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
		}
	for (size_t j = 0; j < G_N_ELEMENTS(instead); j++) {
		g_autoptr(json_object) json = json_tokener_parse(instead[j]);

		g_assert_false(vcpu_view_from_json(json, &back, NULL));
	}
}

static void test_bad_register(void)
{
	static const char *const bad[] = {"[{\"name\":\"nix\",\"value\":\"0x1\"}]",
					  "[{\"name\":\"u_cet\",\"value\":1}]",
					  "[{\"name\":\"u_cet\"}]",
					  "[{\"value\":\"0x1\"}]",
					  "[[]]",
					  "[null]"};
	VcpuView view = vcpu_example(0), back;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(json_object) json = vcpu_view_to_json(&view);

		json_object_object_add(json, "registers", json_tokener_parse(bad[i]));
		g_assert_false(vcpu_view_from_json(json, &back, NULL));
	}
}

static void test_bad_cpu(void)
{
	static const struct {
		const char *key, *value;
	} bad[] = {
		{"linear_bits", "31"}, {"linear_bits", "65"}, {"linear_bits", "\"48\""},
		{"xss", "0"},	       {"shstk", "1"},	      {"ibt", "null"},
		{"lm", "\"true\""},
	};
	VcpuView view = vcpu_example(0), back;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(json_object) json = vcpu_view_to_json(&view);

		g_test_message("%s", bad[i].key);
		json_object_object_add(find(json, "host_cpu"), bad[i].key,
				       json_tokener_parse(bad[i].value));
		g_assert_false(vcpu_view_from_json(json, &back, NULL));
	}
}

/* SDM vol. 1, 17.1: protected mode, CR4.CET, and the ring's own register. */
static void test_live(void)
{
	VcpuView view = vcpu_example(0);

	g_assert_true(vcpu_shstk_is_live(&view));
	g_assert_false(vcpu_ibt_is_live(&view));
	for (view.cpl = 0; view.cpl < 3; view.cpl++) {
		g_assert_false(vcpu_shstk_is_live(&view));
		g_assert_true(vcpu_ibt_is_live(&view));
	}
	view.cpl = 0;
	view.paging.cr4 = 0x6f0;
	g_assert_false(vcpu_ibt_is_live(&view));
	view = vcpu_example(0);
	view.paging.cr0 = 0x60000010;
	g_assert_false(vcpu_shstk_is_live(&view));
	view = vcpu_example(0);
	view.cet.has = 0;
	g_assert_false(vcpu_shstk_is_live(&view));
}

static void test_text(void)
{
	VcpuView view = vcpu_example(1);
	g_autofree char *text = vcpu_view_to_text(&view, NULL);

	g_assert_cmpstr(
		text, ==,
		"vcpu 1\n"
		"  rip          0x0000000000401234  ring 3, long mode\n"
		"  shstk        on: u_cet.shstk_en is set\n"
		"  ibt          off: u_cet.endbr_en is clear\n"
		"  u_cet        0x0000000000000001  shstk_en\n"
		"  s_cet        0x0000000000000004  endbr_en\n"
		"  pl0_ssp      0x0000000000000000  shadow stack pointer for privilege level 0\n"
		"  pl1_ssp      0x0000000000000000  shadow stack pointer for privilege level 1\n"
		"  pl2_ssp      0x0000000000000000  shadow stack pointer for privilege level 2\n"
		"  pl3_ssp      0x00007fff00001000  user shadow stack pointer, parked outside "
		"ring 3\n"
		"  int_ssp_tab  0x0000000000000000  table of interrupt shadow stacks\n"
		"  guest_ssp    0x00007fff00000ff0  current shadow stack pointer\n"
		"  cr0          0x0000000080050033  WP\n"
		"  cr3          0x0000000001234000\n"
		"  cr4          0x00000000008006f0  CET\n"
		"  efer         0x0000000000000d01\n"
		"  xss          0x0000000000000800  CET_U; CET_S is clear\n"
		"  cpuid        SHSTK and IBT, 48-bit addresses, XSS mask 0x1800\n"
		"  host         SHSTK and IBT, 48-bit addresses, XSS mask 0x1800\n");
}

/* What is wrong is said at the register, and with all that the check knows. */
static void test_text_of_problems(void)
{
	VcpuView view = vcpu_example(0);

	view.cet.value[CET_S_CET] = 0x1c00;
	view.cet.cr0 = view.paging.cr0 = 0x80040033;
	g_autofree char *text = vcpu_view_to_text(&view, NULL);

	g_assert_nonnull(strstr(text, "\n  s_cet        0x0000000000001c00  suppress, tracker, "
				      "legacy_bitmap 0x1  WRONG, see below\n"));
	g_assert_nonnull(strstr(text, "\n  cr0          0x0000000080040033  WP is clear\n"));
	g_assert_nonnull(strstr(text, "\n  WRONG        cr4=0x8006f0: bits 23 (CET) needs CR0.WP"));
	g_assert_nonnull(strstr(text, "\n  WRONG        s_cet=0x1c00: bits 11:10 (SUPPRESS and"));
	g_assert_nonnull(
		strstr(text, "\n  WRONG        s_cet=0x1c00: bits 12 must be zero for KVM"));
}

static void test_text_without_cet(void)
{
	VcpuView view = vcpu_example(0);

	view.guest.features = CET_FEATURE_LM;
	view.cet = (CetState){.has = CET_HAS_CR | 1u << CET_U_CET, .cr4 = 0x6f0};
	view.paging.cr4 = 0x6f0;
	g_autofree char *text = vcpu_view_to_text(&view, NULL);

	g_assert_nonnull(strstr(text, "\n  cet          this guest has none: its CPUID shows "
				      "neither SHSTK nor IBT\n  cr0 "));
}

static void test_changes(void)
{
	VcpuView before = vcpu_example(2), view = before;
	g_autofree char *nothing = vcpu_view_changes(&view, &before);

	g_assert_cmpstr(nothing, ==, "");
	view.cpl = 0;
	view.cet.value[CET_U_CET] = 5;
	view.paging.cr4 = 0x6f0;
	view.cet.has &= ~(1u << CET_PL0_SSP);
	g_autofree char *changes = vcpu_view_changes(&view, &before);

	g_assert_cmpstr(
		changes, ==,
		"vcpu 2  cpl          ring 3 → ring 0\n"
		"vcpu 2  u_cet        0x0000000000000001 → 0x0000000000000005  shstk_en, "
		"endbr_en\n"
		"vcpu 2  pl0_ssp      0x0000000000000000 → absent\n"
		"vcpu 2  cr4          0x00000000008006f0 → 0x00000000000006f0  CET is clear\n");
	g_autofree char *marked = vcpu_view_to_text(&view, &before);

	g_assert_nonnull(strstr(marked, "\n* u_cet        0x0000000000000005  shstk_en, endbr_en  "
					"(was 0x1)\n"));
	g_assert_nonnull(strstr(marked, "\n  s_cet  "));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vcpu-view/json", test_json);
	g_test_add_func("/vcpu-view/json-of-problems", test_json_of_problems);
	g_test_add_func("/vcpu-view/round-trip", test_round_trip);
	g_test_add_func("/vcpu-view/bad-json", test_bad_json);
	g_test_add_func("/vcpu-view/bad-register", test_bad_register);
	g_test_add_func("/vcpu-view/bad-cpu", test_bad_cpu);
	g_test_add_func("/vcpu-view/live", test_live);
	g_test_add_func("/vcpu-view/text", test_text);
	g_test_add_func("/vcpu-view/text-of-problems", test_text_of_problems);
	g_test_add_func("/vcpu-view/text-without-cet", test_text_without_cet);
	g_test_add_func("/vcpu-view/changes", test_changes);
	return g_test_run();
}
