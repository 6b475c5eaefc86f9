// SPDX-License-Identifier: MIT
#include "state/fields.h"

#include <string.h>

unsigned state_field_width(const StateField *field)
{
	switch (field->kind) {
	case FIELD_U8:
		return 1;
	case FIELD_U16:
		return 2;
	case FIELD_U32:
		return 4;
	case FIELD_U64:
		return 8;
	default:
		return 0;
	}
}

/* Little-endian, as everything that runs this program: the low bytes are the number. */
uint64_t state_field_get(const StateField *field, const void *base, unsigned i)
{
	const char *at = (const char *)base + field->offset + (size_t)i * field->stride;
	uint64_t value = 0;

	memcpy(&value, at, state_field_width(field));
	return value;
}

bool state_field_set(const StateField *field, void *base, unsigned i, uint64_t value)
{
	char *at = (char *)base + field->offset + (size_t)i * field->stride;
	unsigned width = state_field_width(field);

	if ((field->flags & FIELD_BOOL) && value > 1)
		return false;
	if (width < 8 && value >> (8 * width) != 0)
		return false;
	memcpy(at, &value, width);
	return true;
}
