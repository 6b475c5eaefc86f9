// SPDX-License-Identifier: MIT
#include "migrate/channel.h"

#include "base/bytes.h"
#include "base/error.h"
#include "migrate/rate_limit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC	    0x47494d55u /* "UMIG" */
#define FAILURE_MAX (64u << 10)
#define PARTING_MS  1000
#define PIECES_MAX  1024 /* IOV_MAX */

/*
 * Little-endian, as it is on the wire. The header is judged by itself before
 * anything is believed of it, sizes above all; the number tells a lost or a
 * repeated message.
 */
typedef struct Header {
	uint32_t magic;
	uint16_t type;
	uint16_t zero;
	uint32_t size;
	uint32_t data_size;
	uint64_t number;
	uint64_t payload_sum;
	uint64_t data_sum;
	uint64_t header_sum; /* of all before */
} Header;
G_STATIC_ASSERT(sizeof(Header) == 48);
G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN);

struct Channel {
	int fd;
	int patience_ms;
	RateLimit *limit;
	_Atomic bool cancelled;
	_Atomic uint64_t bytes_sent;
	uint64_t sent, received; /* messages */
	uint8_t *room;		 /* for payloads */
	size_t room_size;
	bool peer_gave_up;
	Header in; /* of the message whose data is still to come */
};

static const char *const names[MESSAGE_TYPES] = {
	[MESSAGE_HELLO] = "HELLO",     [MESSAGE_VERDICT] = "VERDICT",	[MESSAGE_JOIN] = "JOIN",
	[MESSAGE_JOINED] = "JOINED",   [MESSAGE_RAM] = "RAM",		[MESSAGE_END] = "END",
	[MESSAGE_STATE] = "STATE",     [MESSAGE_READY] = "READY",	[MESSAGE_GO] = "GO",
	[MESSAGE_STARTED] = "STARTED", [MESSAGE_FAILED] = "FAILED",	[MESSAGE_ALIVE] = "ALIVE",
	[MESSAGE_WHO] = "WHO",	       [MESSAGE_OWNER] = "OWNER",	[MESSAGE_LATER] = "LATER",
	[MESSAGE_WANT] = "WANT",       [MESSAGE_COMPLETE] = "COMPLETE", [MESSAGE_RESUME] = "RESUME",
	[MESSAGE_MISSING] = "MISSING",
};

const char *message_name(unsigned type)
{
	return type < MESSAGE_TYPES && names[type] ? names[type] : "unknown";
}

/* Without the privilege the system's limit, net.core.wmem_max, is what there is. */
void channel_set_room(Channel *channel, unsigned size)
{
	int value = (int)size, domain;
	socklen_t length = sizeof(domain);

	if (getsockopt(channel->fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 &&
	    domain == AF_UNIX &&
	    setsockopt(channel->fd, SOL_SOCKET, SO_SNDBUFFORCE, &value, sizeof(value)) < 0)
		setsockopt(channel->fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value));
}

Channel *channel_create(int fd, unsigned patience_ms, RateLimit *limit)
{
	Channel *channel = g_new0(Channel, 1);

	channel->fd = fd;
	channel->patience_ms = (int)patience_ms;
	channel->limit = limit;
	/* poll() waits, the transfer itself must not: cancelling has to get through. */
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	/* By default one side would wait while the other sums up, and the other way round. */
	channel_set_room(channel, MESSAGE_DATA_MAX);
	return channel;
}

void channel_destroy(Channel *channel)
{
	if (!channel)
		return;
	close(channel->fd);
	g_free(channel->room);
	g_free(channel);
}

void channel_cancel(Channel *channel)
{
	atomic_store(&channel->cancelled, true);
	shutdown(channel->fd, SHUT_RDWR);
}

bool channel_is_cancelled(const Channel *channel)
{
	return atomic_load(&channel->cancelled);
}

bool channel_peer_gave_up(const Channel *channel)
{
	return channel->peer_gave_up;
}

uint64_t channel_bytes_sent(const Channel *channel)
{
	return atomic_load(&channel->bytes_sent);
}

static bool wait_for(Channel *channel, short events, GError **error)
{
	struct pollfd poller = {.fd = channel->fd, .events = events};
	int ready;

	do {
		ready = poll(&poller, 1, channel->patience_ms);
	} while (ready < 0 && errno == EINTR);
	if (channel_is_cancelled(channel))
		return umbra_fail(error, UMBRA_ERROR_FAILED, "cancelled");
	if (ready < 0)
		return umbra_fail_errno(error, errno, "waiting for the peer");
	if (ready == 0)
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "the peer has been silent for %d seconds",
				  channel->patience_ms / 1000);
	return true;
}

/* What a transfer call's failure means: try again, or give up with *error. */
static bool may_try_again(Channel *channel, short events, GError **error)
{
	if (errno == EINTR)
		return true;
	if (errno == EAGAIN)
		return wait_for(channel, events, error);
	if (channel_is_cancelled(channel))
		return umbra_fail(error, UMBRA_ERROR_FAILED, "cancelled");
	return umbra_fail_errno(error, errno, "the connection is lost");
}

/* Leaves `pieces` without the `done` bytes at their beginning; true if nothing is left. */
static bool advance(struct iovec **pieces, unsigned *n, size_t done)
{
	while (*n > 0 && done >= (*pieces)->iov_len) {
		done -= (*pieces)->iov_len;
		(*pieces)++;
		(*n)--;
	}
	if (*n > 0) {
		(*pieces)->iov_base = (uint8_t *)(*pieces)->iov_base + done;
		(*pieces)->iov_len -= done;
	}
	return *n == 0;
}

static bool send_all(Channel *channel, struct iovec *pieces, unsigned n, GError **error)
{
	while (n > 0) {
		struct msghdr message = {.msg_iov = pieces, .msg_iovlen = MIN(n, PIECES_MAX)};
		ssize_t done = sendmsg(channel->fd, &message, MSG_NOSIGNAL);

		if (done < 0 && !may_try_again(channel, POLLOUT, error))
			return false;
		if (done >= 0) {
			atomic_fetch_add(&channel->bytes_sent, (uint64_t)done);
			advance(&pieces, &n, (size_t)done);
		}
	}
	return true;
}

static bool receive_all(Channel *channel, struct iovec *pieces, unsigned n, GError **error)
{
	while (n > 0) {
		ssize_t done = readv(channel->fd, pieces, (int)MIN(n, PIECES_MAX));

		if (done == 0)
			return umbra_fail(error, UMBRA_ERROR_FAILED,
					  channel_is_cancelled(channel)
						  ? "cancelled"
						  : "the peer has closed the connection");
		if (done < 0 && !may_try_again(channel, POLLIN, error))
			return false;
		if (done > 0)
			advance(&pieces, &n, (size_t)done);
	}
	return true;
}

static uint64_t header_sum(const Header *header)
{
	return bytes_checksum(header, offsetof(Header, header_sum), MAGIC);
}

/* Data are pages: summed one by one, whatever pieces they stand in on either side. */
static uint64_t pages_sum(const struct iovec *pieces, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		for (size_t at = 0; at < pieces[i].iov_len; at += MESSAGE_PAGE)
			sum = bytes_checksum((const uint8_t *)pieces[i].iov_base + at, MESSAGE_PAGE,
					     sum);
	return sum;
}

bool channel_send_pieces(Channel *channel, MessageType type, const void *payload, size_t size,
			 const struct iovec *data, unsigned n, GError **error)
{
	struct iovec pieces[2 + CHANNEL_PIECES_MAX] = {{0}, {(void *)payload, size}};
	size_t data_size = 0;

	g_assert(n <= CHANNEL_PIECES_MAX);
	for (unsigned i = 0; i < n; i++) {
		pieces[2 + i] = data[i];
		data_size += data[i].iov_len;
	}
	g_assert(size <= MESSAGE_PAYLOAD_MAX && data_size <= MESSAGE_DATA_MAX &&
		 data_size % MESSAGE_PAGE == 0);
	if (channel->limit && type != MESSAGE_ALIVE &&
	    !rate_limit_take(channel->limit, sizeof(Header) + size + data_size, channel, error))
		return false;
	Header header = {
		.magic = MAGIC,
		.type = (uint16_t)type,
		.size = (uint32_t)size,
		.data_size = (uint32_t)data_size,
		.number = channel->sent++,
		.payload_sum = bytes_checksum(payload, size, type),
		.data_sum = pages_sum(&pieces[2], n),
	};

	header.header_sum = header_sum(&header);
	pieces[0] = (struct iovec){&header, sizeof(header)};
	return send_all(channel, pieces, 2 + n, error);
}

bool channel_send_data(Channel *channel, MessageType type, const void *payload, size_t size,
		       const void *data, size_t data_size, GError **error)
{
	struct iovec piece = {(void *)data, data_size};

	return channel_send_pieces(channel, type, payload, size, &piece, 1, error);
}

bool channel_send(Channel *channel, MessageType type, const void *payload, size_t size,
		  GError **error)
{
	return channel_send_data(channel, type, payload, size, NULL, 0, error);
}

static bool check_header(const Channel *channel, const Header *header, GError **error)
{
	if (header->magic != MAGIC)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "the peer does not speak umbra's migration protocol");
	if (header->header_sum != header_sum(header) || header->zero != 0)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "message %lu arrived damaged: its header's checksum is wrong",
				  channel->received);
	if (header->number != channel->received)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "message %lu arrived where %lu was due: something is missing",
				  header->number, channel->received);
	if (header->size > MESSAGE_PAYLOAD_MAX || header->data_size > MESSAGE_DATA_MAX ||
	    header->data_size % MESSAGE_PAGE != 0)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "a message %s of %u and %u bytes is malformed",
				  message_name(header->type), header->size, header->data_size);
	return true;
}

static bool receive_one(Channel *channel, Message *ret_message, GError **error)
{
	Header *header = &channel->in;
	struct iovec piece = {header, sizeof(*header)};

	if (!receive_all(channel, &piece, 1, error) || !check_header(channel, header, error))
		return false;
	channel->received++;
	if (header->size > channel->room_size) {
		channel->room = g_realloc(channel->room, header->size);
		channel->room_size = header->size;
	}
	piece = (struct iovec){channel->room, header->size};
	if (header->size > 0 && !receive_all(channel, &piece, 1, error))
		return false;
	if (bytes_checksum(channel->room, header->size, header->type) != header->payload_sum)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "a message %s arrived damaged: its checksum is wrong",
				  message_name(header->type));
	*ret_message = (Message){
		.type = header->type,
		.payload = channel->room,
		.size = header->size,
		.data_size = header->data_size,
	};
	return true;
}

bool channel_receive_data(Channel *channel, const struct iovec *data, unsigned n, GError **error)
{
	g_autofree struct iovec *pieces = g_memdup2(data, n * sizeof(*data));

	if (!receive_all(channel, pieces, n, error))
		return false;
	if (pages_sum(data, n) != channel->in.data_sum)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "pages arrived damaged: their checksum is wrong");
	return true;
}

/* The first byte says whose fault it is, the rest why. */
static bool take_failure(const Message *message, GError **error)
{
	g_autofree char *text = NULL;
	UmbraError code;

	if (message->size < 2 || message->size > FAILURE_MAX)
		return umbra_fail(error, UMBRA_ERROR_INPUT, "the peer gave up without a reason");
	text = g_utf8_make_valid((const char *)message->payload + 1, message->size - 1);
	for (char *c = text; *c; c++)
		if (g_ascii_iscntrl(*c) && *c != '\n')
			*c = '?';
	code = message->payload[0] == UMBRA_ERROR_INCOMPATIBLE ? UMBRA_ERROR_INCOMPATIBLE
							       : UMBRA_ERROR_FAILED;
	return umbra_fail(error, code, "the peer says: %s", text);
}

bool channel_receive(Channel *channel, Message *ret_message, GError **error)
{
	do {
		if (!receive_one(channel, ret_message, error))
			return false;
	} while (ret_message->type == MESSAGE_ALIVE && ret_message->data_size == 0);
	if (ret_message->type == MESSAGE_FAILED) {
		channel->peer_gave_up = true;
		return take_failure(ret_message, error);
	}
	if (ret_message->data_size > 0 && ret_message->type != MESSAGE_RAM)
		return umbra_fail(error, UMBRA_ERROR_INPUT, "a message %s with pages",
				  message_name(ret_message->type));
	return true;
}

bool channel_expect(Channel *channel, MessageType type, Message *ret_message, GError **error)
{
	if (!channel_receive(channel, ret_message, error))
		return false;
	if (ret_message->type != type)
		return umbra_fail(error, UMBRA_ERROR_INPUT, "a message %s came where %s was due",
				  message_name(ret_message->type), message_name(type));
	return true;
}

bool channel_is_readable(const Channel *channel, int timeout_ms)
{
	struct pollfd poller = {.fd = channel->fd, .events = POLLIN};

	return poll(&poller, 1, timeout_ms) > 0;
}

void channel_part(Channel *channel)
{
	int64_t until = g_get_monotonic_time() + PARTING_MS * 1000;
	uint8_t rest[4096];

	for (;;) {
		int64_t left = (until - g_get_monotonic_time()) / 1000;

		if (left <= 0 || !channel_is_readable(channel, (int)left))
			return;
		ssize_t n = read(channel->fd, rest, sizeof(rest));

		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
			return;
	}
}

void channel_send_failure(Channel *channel, const GError *error)
{
	g_autofree char *text =
		g_strdup_printf("%c%.*s",
				g_error_matches(error, UMBRA_ERROR, UMBRA_ERROR_INCOMPATIBLE)
					? (char)UMBRA_ERROR_INCOMPATIBLE
					: (char)(UMBRA_ERROR_INCOMPATIBLE + 1),
				(int)(FAILURE_MAX - 2), error->message);

	(void)channel_send(channel, MESSAGE_FAILED, text, strlen(text), NULL);
}
