// SPDX-License-Identifier: MIT
#include "migrate/hello.h"

#include "base/error.h"
#include "snapshot/state_tree.h"

#include <string.h>

bool hello_send(Channel *channel, const Hello *hello, const MachineState *state, GError **error)
{
	g_autoptr(GBytes) tree = state_tree_write(state, error);
	g_autoptr(GByteArray) payload = g_byte_array_new();
	gsize size;

	if (!tree)
		return false;
	const uint8_t *bytes = g_bytes_get_data(tree, &size);

	g_byte_array_append(payload, (const uint8_t *)hello, sizeof(*hello));
	g_byte_array_append(payload, bytes, (guint)size);
	return channel_send(channel, MESSAGE_HELLO, payload->data, payload->len, error);
}

bool hello_parse(const Message *message, Hello *ret_hello, MachineState **ret_state, GError **error)
{
	if (message->size < sizeof(*ret_hello))
		return umbra_fail(error, UMBRA_ERROR_INPUT, "a HELLO of %u bytes", message->size);
	memcpy(ret_hello, message->payload, sizeof(*ret_hello));
	if (ret_hello->oldest > PROTOCOL_VERSION)
		return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
				  "the source speaks migration protocol %u and wants at least %u; "
				  "this umbra speaks %u: use a newer umbra here",
				  ret_hello->version, ret_hello->oldest, PROTOCOL_VERSION);
	if (ret_hello->version < PROTOCOL_OLDEST)
		return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
				  "the source speaks migration protocol %u; this umbra wants at "
				  "least %u: use an older umbra here",
				  ret_hello->version, PROTOCOL_OLDEST);
	if (ret_hello->channels < 1 || ret_hello->channels > CHANNELS_MAX)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "the source wants %u connections: 1 to %u", ret_hello->channels,
				  CHANNELS_MAX);
	*ret_state = state_tree_read(message->payload + sizeof(*ret_hello),
				     message->size - sizeof(*ret_hello), error);
	return *ret_state != NULL;
}

bool message_copy(const Message *message, void *to, size_t size, GError **error)
{
	if (message->size != size)
		return umbra_fail(error, UMBRA_ERROR_INPUT, "a message %s of %u bytes, not %zu",
				  message_name(message->type), message->size, size);
	memcpy(to, message->payload, size);
	return true;
}
