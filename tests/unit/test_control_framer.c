// SPDX-License-Identifier: MIT
#include "control/framer.h"

#include <string.h>

#define LIMIT 100

/* Pushes `text` in pieces of `first` and then `piece` bytes; what comes out, one per line. */
static char *frame(const char *text, size_t length, size_t first, size_t piece)
{
	static const char *const words[] = {
		[FRAME_GARBAGE] = "GARBAGE",
		[FRAME_TOO_LONG] = "TOO LONG",
	};
	GString *out = g_string_new(NULL);
	Framer framer;

	framer_init(&framer, LIMIT);
	for (size_t at = 0, n = first; at < length; at += n, n = piece) {
		FrameResult result;
		const char *value;
		size_t value_length;

		n = MIN(n, length - at);
		framer_push(&framer, text + at, n);
		while ((result = framer_next(&framer, &value, &value_length)) != FRAME_NONE) {
			if (result == FRAME_VALUE)
				g_string_append_len(out, value, (gssize)value_length);
			else
				g_string_append(out, words[result]);
			g_string_append_c(out, '\n');
		}
	}
	framer_finish(&framer);
	return g_string_free(out, FALSE);
}

/* The same must come out however the bytes come in. */
static void check(const char *text, size_t length, const char *expected)
{
	for (size_t first = 1; first <= length; first++) {
		g_autofree char *halves = frame(text, length, first, length);
		g_autofree char *bytes = frame(text, length, first, 1);

		g_assert_cmpstr(halves, ==, expected);
		g_assert_cmpstr(bytes, ==, expected);
	}
}

static const struct {
	const char *name, *text, *expected;
} cases[] = {
	{"nothing", " \t\r\n", ""},
	{"one", "{}", "{}\n"},
	{"no-newline-between", "{\"a\":1}{\"b\":2}[3]", "{\"a\":1}\n{\"b\":2}\n[3]\n"},
	{"space-between", "\r\n {} \n\n[ ] \t", "{}\n[ ]\n"},
	{"over-lines", "{\n\t\"a\":\r\n[1,\n2]}\n", "{\n\t\"a\":\r\n[1,\n2]}\n"},
	{"nested", "{\"a\":[{\"b\":{}},[[]]]}{}", "{\"a\":[{\"b\":{}},[[]]]}\n{}\n"},
	{"brackets-in-strings", "{\"}{\":\"][\"}[]", "{\"}{\":\"][\"}\n[]\n"},
	{"escapes", "{\"\\\"}\\\\\":\"\\u007d\\\"\"}[]", "{\"\\\"}\\\\\":\"\\u007d\\\"\"}\n[]\n"},
	{"single-quotes", "{'a\"}':'\\'}'}[]", "{'a\"}':'\\'}'}\n[]\n"},
	{"utf-8", "{\"ü€𝄞\":\"𝄞\"}[]", "{\"ü€𝄞\":\"𝄞\"}\n[]\n"},
	{"kinds-do-not-count", "{]{}", "{]\n{}\n"},
	{"half", "{\"execute\":\"stop\"", ""},
	{"half-string", "{\"execute", ""},
	{"garbage-to-end-of-line", "stop {} {\n{}", "GARBAGE\n{}\n"},
	{"garbage-twice", "a\nb\n{}", "GARBAGE\nGARBAGE\n{}\n"},
	{"scalar", "null\n\"a\"\n1\n[]", "GARBAGE\nGARBAGE\nGARBAGE\n[]\n"},
	{"too-many-closed", "{}}\n{}", "{}\nGARBAGE\n{}\n"},
	{"open-string-at-end-of-line", "{\"a\n{}", "GARBAGE\n{}\n"},
	{"escaped-end-of-line", "{\"a\\\n{}", "GARBAGE\n{}\n"},
	{"control-character", "{\"a\":\x01}\n{\"\x1f\"}\n{}", "GARBAGE\nGARBAGE\n{}\n"},
	{"after-a-value", "{}x{}\n[]", "{}\nGARBAGE\n[]\n"},
	{"delete-and-beyond", "{\x7f\xff}\xff\n[]", "{\x7f\xff}\nGARBAGE\n[]\n"},
};

static void test_case(const void *argument)
{
	size_t i = GPOINTER_TO_SIZE(argument);

	check(cases[i].text, strlen(cases[i].text), cases[i].expected);
}

static void test_zero_bytes(void)
{
	check("{\0}\n[]", 6, "GARBAGE\n[]\n");
	check("\0\0\n[]", 5, "GARBAGE\n[]\n");
}

/* A value may have LIMIT bytes and not one more; what follows its line is fine again. */
static void test_limit(void)
{
	g_autofree char *spaces = g_strnfill(LIMIT - 2, ' ');
	g_autofree char *fits = g_strdup_printf("{%s}", spaces);
	g_autofree char *fits_out = g_strdup_printf("%s\n", fits);
	g_autofree char *over = g_strdup_printf("{ %s}\n{}", spaces);
	g_autofree char *blanks = g_strdup_printf("%s  %s{}", spaces, spaces);

	check(fits, strlen(fits), fits_out);
	check(over, strlen(over), "TOO LONG\n{}\n");
	check(blanks, strlen(blanks), "{}\n"); /* space between values is nobody's */
}

/* Whatever comes, no more than the limit and one push is held. */
static void test_memory(void)
{
	static const char *const streams[] = {"[", "{\"", "x", " ", "[]", "\"", "\\", "{\"a\":1}"};

	for (size_t i = 0; i < G_N_ELEMENTS(streams); i++) {
		Framer framer;
		const char *value;
		size_t length;

		g_test_message("%s", streams[i]);
		framer_init(&framer, 4096);
		for (unsigned at = 0; at < 1000 * 1000; at++) {
			framer_push(&framer, streams[i], strlen(streams[i]));
			while (framer_next(&framer, &value, &length) != FRAME_NONE)
				;
		}
		g_assert_cmpuint(framer.text->allocated_len, <=, 16384);
		framer_finish(&framer);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strdup_printf("/framer/%s", cases[i].name);

		g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_case);
	}
	g_test_add_func("/framer/zero-bytes", test_zero_bytes);
	g_test_add_func("/framer/limit", test_limit);
	g_test_add_func("/framer/memory", test_memory);
	return g_test_run();
}
