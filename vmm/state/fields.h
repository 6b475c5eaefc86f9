// SPDX-License-Identifier: MIT
/*
 * What the structures of a stopped machine consist of, field by field: the one
 * description that the snapshot's writer and reader, the comparison of two states
 * and every list for people walk. A field that is not described does not travel.
 */
#ifndef UMBRA_STATE_FIELDS_H
#define UMBRA_STATE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum FieldKind {
	FIELD_U8, /* these four: `count` numbers, `stride` bytes apart */
	FIELD_U16,
	FIELD_U32,
	FIELD_U64,
	FIELD_BYTES, /* `count` bytes that have no names here */
	FIELD_BLOB,  /* a GByteArray * of any length */
	FIELD_GROUP, /* a structure within the structure: `group` */
	FIELD_MSRS,  /* a GArray * of struct kvm_msr_entry; names by msr_name() */
	FIELD_CPUID, /* a struct kvm_cpuid2 * */
	FIELD_CET,   /* a CetState; names and presence by the table cet_registers */
} FieldKind;

/* What else there is to say of a field. */
enum {
	/* Runs on by itself: reading it again soon after may give another value. */
	FIELD_MOVES = 1 << 0,
	/* A C bool: 0 or 1, and nothing else may ever be stored in it. */
	FIELD_BOOL = 1 << 1,
	/* Stored where it is not 0 only, and 0 where it is not stored. */
	FIELD_RARE = 1 << 2,
};

typedef struct StateField {
	const char *name; /* lower case, words joined by '-': a property of the device tree */
	FieldKind kind;
	size_t offset;
	unsigned count;
	unsigned stride; /* bytes from one number to the next */
	unsigned flags;
	const struct StateGroup *group;
} StateField;

typedef struct StateGroup {
	size_t size; /* of the structure, in bytes */
	const StateField *fields;
	unsigned n_fields;
} StateGroup;

/* Bytes of one number of FIELD_U8 … FIELD_U64; 0 for all other kinds. */
unsigned state_field_width(const StateField *field);

/* Number `i` of such a field in the structure at `base`. */
uint64_t state_field_get(const StateField *field, const void *base, unsigned i);
/* False, and nothing stored, if the value does not fit: too wide, or no bool. */
bool state_field_set(const StateField *field, void *base, unsigned i, uint64_t value);

/* Rows: STATE_U64(struct kvm_regs, "rax", rax), STATE_BYTES(...), … */
#define STATE_NUMBER(type, text, member, number_kind)                                    \
	{                                                                                \
		.name = (text), .kind = (number_kind), .offset = offsetof(type, member), \
		.count = 1                                                               \
	}
#define STATE_U8(type, text, member) STATE_NUMBER(type, text, member, FIELD_U8)
#define STATE_BOOL(type, text, member)                                                          \
	{                                                                                       \
		.name = (text), .kind = FIELD_U8, .offset = offsetof(type, member), .count = 1, \
		.flags = FIELD_BOOL                                                             \
	}
#define STATE_U16(type, text, member) STATE_NUMBER(type, text, member, FIELD_U16)
#define STATE_U32(type, text, member) STATE_NUMBER(type, text, member, FIELD_U32)
#define STATE_U64(type, text, member) STATE_NUMBER(type, text, member, FIELD_U64)
/* One that runs on by itself. */
#define STATE_MOVING(type, text, member, number_kind)                                    \
	{                                                                                \
		.name = (text), .kind = (number_kind), .offset = offsetof(type, member), \
		.count = 1, .flags = FIELD_MOVES                                         \
	}
#define STATE_RARE(type, text, member, number_kind)                                      \
	{                                                                                \
		.name = (text), .kind = (number_kind), .offset = offsetof(type, member), \
		.count = 1, .flags = FIELD_RARE                                          \
	}
/* An array that is a member. */
#define STATE_ARRAY(type, text, member, number_kind, n, size)                            \
	{                                                                                \
		.name = (text), .kind = (number_kind), .offset = offsetof(type, member), \
		.count = (n), .stride = (size)                                           \
	}
#define STATE_BYTES(type, text, member)                                                \
	{                                                                              \
		.name = (text), .kind = FIELD_BYTES, .offset = offsetof(type, member), \
		.count = sizeof(((type *)0)->member)                                   \
	}
#define STATE_OF(type, text, member, member_kind)                                        \
	{                                                                                \
		.name = (text), .kind = (member_kind), .offset = offsetof(type, member), \
		.count = 1                                                               \
	}
#define STATE_GROUP(type, text, member, of)                                                        \
	{                                                                                          \
		.name = (text), .kind = FIELD_GROUP, .offset = offsetof(type, member), .count = 1, \
		.group = (of)                                                                      \
	}
#define STATE_GROUP_OF(type, rows)                           \
	{                                                    \
		.size = sizeof(type), .fields = (rows),      \
		.n_fields = sizeof(rows) / sizeof((rows)[0]) \
	}

#endif
