// SPDX-License-Identifier: MIT
#include "inspect/symbols.h"

#include "base/error.h"
#include "inspect/symbols_elf.h"

#include <string.h>

#define MAX_SIZE (16UL << 20) /* of a function whose size nobody tells */

typedef struct Symbol {
	uint64_t address;
	uint64_t size; /* 0: unknown */
	char *name;
} Symbol;

struct Symbols {
	GArray *list;
	bool sorted;
};

static void clear_symbol(void *symbol)
{
	g_free(((Symbol *)symbol)->name);
}

Symbols *symbols_create(void)
{
	Symbols *symbols = g_new0(Symbols, 1);

	symbols->list = g_array_new(FALSE, FALSE, sizeof(Symbol));
	g_array_set_clear_func(symbols->list, clear_symbol);
	return symbols;
}

void symbols_destroy(Symbols *symbols)
{
	if (!symbols)
		return;
	g_array_unref(symbols->list);
	g_free(symbols);
}

typedef struct Target {
	Symbols *symbols;
	uint64_t base;
} Target;

static void add(void *owner, uint64_t address, uint64_t size, const char *name)
{
	Target *target = owner;
	Symbol symbol = {
		.address = address + target->base,
		.size = size,
		.name = g_utf8_make_valid(name, -1),
	};

	g_array_append_val(target->symbols->list, symbol);
	target->symbols->sorted = false;
}

/* "ffffffff81000000 T _text": address, type, name. Data is not called. */
static bool add_map_line(Target *target, char **words)
{
	char *end;
	uint64_t address = g_ascii_strtoull(words[0], &end, 16);

	if (end == words[0] || *end != '\0' || strlen(words[1]) != 1)
		return false;
	if (strchr("tTwW", words[1][0]))
		add(target, address, 0, words[2]);
	return true;
}

/* "7f0000001000 40 name": address and size in hexadecimal, and a name that may hold blanks. */
static bool add_perf_line(Target *target, char **words)
{
	char *end_address, *end_size;
	uint64_t address = g_ascii_strtoull(words[0], &end_address, 16);
	uint64_t size = g_ascii_strtoull(words[1], &end_size, 16);

	if (end_address == words[0] || *end_address || end_size == words[1] || *end_size)
		return false;
	add(target, address, size, words[2]);
	return true;
}

/*
 * The two kinds of text differ in the second word: a type is one letter that is
 * no number, or stands in a file in which the first line says so.
 */
static bool add_text(Target *target, const char *text)
{
	bool (*add_line)(Target *, char **) = NULL;
	bool any = false;

	while (*text) {
		const char *newline = strchrnul(text, '\n');
		g_autofree char *line = g_strndup(text, (size_t)(newline - text));
		g_auto(GStrv) words = g_strsplit(g_strstrip(line), " ", 3);

		text = *newline ? newline + 1 : newline;
		if (g_strv_length(words) < 3)
			continue;
		if (!add_line)
			add_line = strlen(words[1]) == 1 && g_ascii_isalpha(words[1][0]) &&
						   strlen(words[0]) == 16
					   ? add_map_line
					   : add_perf_line;
		any = add_line(target, words) || any;
	}
	return any;
}

bool symbols_add_file(Symbols *symbols, const char *path, uint64_t base, GError **error)
{
	Target target = {.symbols = symbols, .base = base};
	g_autofree char *content = NULL;
	g_autoptr(GError) failed = NULL;
	size_t length;
	bool any;

	if (g_file_test(path, G_FILE_TEST_EXISTS) && !g_file_test(path, G_FILE_TEST_IS_REGULAR))
		return umbra_fail(error, UMBRA_ERROR_INPUT, "--symbols: %s is no regular file",
				  path);
	if (!g_file_get_contents(path, &content, &length, &failed))
		return umbra_fail(error, UMBRA_ERROR_FAILED, "--symbols: %s", failed->message);
	if (symbols_elf_is(content, length))
		any = symbols_elf_read(content, length, add, &target);
	else
		any = memchr(content, '\0', length) == NULL && add_text(&target, content);
	if (!any)
		return umbra_fail(
			error, UMBRA_ERROR_INPUT,
			"--symbols: %s is no System.map, ELF file with symbols or perf map", path);
	return true;
}

static int compare(const void *left, const void *right)
{
	const Symbol *a = left, *b = right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	/* Of several names for one place the sized one is the function's own. */
	return (a->size > 0) - (b->size > 0);
}

char *symbols_name(Symbols *symbols, uint64_t address)
{
	guint low = 0, high = symbols->list->len;

	if (!symbols->sorted)
		g_array_sort(symbols->list, compare);
	symbols->sorted = true;
	while (low < high) {
		guint middle = low + (high - low) / 2;

		if (g_array_index(symbols->list, Symbol, middle).address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	const Symbol *symbol = &g_array_index(symbols->list, Symbol, low - 1);
	uint64_t inside = address - symbol->address;

	if (inside >= (symbol->size ? symbol->size : MAX_SIZE))
		return NULL;
	return g_strdup_printf("%s+0x%lx", symbol->name, inside);
}
