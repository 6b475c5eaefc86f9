// SPDX-License-Identifier: MIT
#include "control/framer.h"

void framer_init(Framer *framer, size_t limit)
{
	*framer = (Framer){.text = g_string_new(NULL), .limit = limit, .state = FRAMER_BETWEEN};
}

void framer_finish(Framer *framer)
{
	g_string_free(framer->text, TRUE);
	*framer = (Framer){0};
}

void framer_push(Framer *framer, const char *bytes, size_t length)
{
	g_string_erase(framer->text, 0, (gssize)framer->start);
	framer->at -= framer->start;
	framer->start = 0;
	g_string_append_len(framer->text, bytes, (gssize)length);
}

/* JSON allows no control characters but these, and none at all inside a string. */
static bool is_space(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool is_control(char byte)
{
	return (unsigned char)byte < ' ';
}

static FrameResult drop_line(Framer *framer, char byte)
{
	framer->state = byte == '\n' ? FRAMER_BETWEEN : FRAMER_DROPPING;
	return FRAME_GARBAGE;
}

static FrameResult step_between(Framer *framer, char byte)
{
	if (is_space(byte))
		return FRAME_NONE;
	if (byte != '{' && byte != '[')
		return drop_line(framer, byte);
	framer->state = FRAMER_INSIDE;
	framer->depth = 1;
	return FRAME_NONE;
}

static FrameResult step_inside(Framer *framer, char byte)
{
	switch (byte) {
	case '"':
	case '\'': /* QMP takes both (QEMU, docs/interop/qmp-spec.rst) */
		framer->quote = byte;
		framer->state = FRAMER_STRING;
		return FRAME_NONE;
	case '{':
	case '[':
		framer->depth++;
		return FRAME_NONE;
	case '}':
	case ']':
		if (--framer->depth > 0)
			return FRAME_NONE;
		framer->state = FRAMER_BETWEEN;
		return FRAME_VALUE;
	default:
		return is_control(byte) && !is_space(byte) ? drop_line(framer, byte) : FRAME_NONE;
	}
}

static FrameResult step_string(Framer *framer, char byte)
{
	if (is_control(byte))
		return drop_line(framer, byte);
	if (framer->state == FRAMER_ESCAPE)
		framer->state = FRAMER_STRING;
	else if (byte == '\\')
		framer->state = FRAMER_ESCAPE;
	else if (byte == framer->quote)
		framer->state = FRAMER_INSIDE;
	return FRAME_NONE;
}

static FrameResult step(Framer *framer, char byte)
{
	switch (framer->state) {
	case FRAMER_BETWEEN:
		return step_between(framer, byte);
	case FRAMER_INSIDE:
		return step_inside(framer, byte);
	case FRAMER_STRING:
	case FRAMER_ESCAPE:
		return step_string(framer, byte);
	case FRAMER_DROPPING:
		if (byte == '\n')
			framer->state = FRAMER_BETWEEN;
		return FRAME_NONE;
	}
	g_assert_not_reached();
}

FrameResult framer_next(Framer *framer, const char **ret_text, size_t *ret_length)
{
	while (framer->at < framer->text->len) {
		FrameResult result = step(framer, framer->text->str[framer->at++]);
		size_t length = framer->at - framer->start;

		if (result == FRAME_VALUE) {
			*ret_text = framer->text->str + framer->start;
			*ret_length = length;
		}
		if (framer->state != FRAMER_BETWEEN && framer->state != FRAMER_DROPPING) {
			if (length < framer->limit)
				continue;
			framer->state = FRAMER_DROPPING;
			result = FRAME_TOO_LONG;
		}
		framer->start = framer->at; /* none of it is needed any more */
		if (result != FRAME_NONE)
			return result;
	}
	return FRAME_NONE;
}
