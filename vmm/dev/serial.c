// SPDX-License-Identifier: MIT
/*
 * The line has no speed: a byte that the output takes has left both FIFO and
 * shift register before the guest's next instruction, so THRE and TEMT are
 * clear only while the output takes nothing. Then up to a FIFO of bytes waits
 * here for serial_output_ready().
 */
#include "dev/serial.h"

#include "base/error.h"
#include "base/layout.h"

#include <string.h>

/* Registers, by offset. With LCR.DLAB set the first two are the divisor latch. */
enum {
	REG_DATA = 0, /* RBR when read, THR when written */
	REG_IER = 1,
	REG_IIR = 2, /* FCR when written */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

#define IER_RECEIVED	0x01
#define IER_TRANSMITTER 0x02
#define IER_LINE_STATUS 0x04
#define IER_MODEM	0x08
#define IER_ALL		0x0f

/* Interrupt identification, highest priority first. */
#define IIR_LINE_STATUS	   0x06
#define IIR_RECEIVED	   0x04
#define IIR_TIMEOUT	   0x0c
#define IIR_TRANSMITTER	   0x02
#define IIR_MODEM	   0x00
#define IIR_NONE	   0x01
#define IIR_FIFO	   0xc0

#define FCR_ENABLE	   0x01
#define FCR_CLEAR_RECEIVE  0x02
#define FCR_CLEAR_TRANSMIT 0x04
#define FCR_TRIGGER_SHIFT  6

#define LCR_DLAB	   0x80

#define MCR_DTR		   0x01
#define MCR_RTS		   0x02
#define MCR_OUT1	   0x04
#define MCR_OUT2	   0x08
#define MCR_LOOP	   0x10
#define MCR_ALL		   0x1f

#define LSR_DATA_READY	   0x01
#define LSR_OVERRUN	   0x02
#define LSR_THR_EMPTY	   0x20
#define LSR_TRANS_EMPTY	   0x40

#define MSR_CTS		   0x10
#define MSR_DSR		   0x20
#define MSR_RI		   0x40
#define MSR_DCD		   0x80
#define MSR_RI_ENDED	   0x04 /* "trailing edge": the one delta that is not set by both edges */
#define MSR_DELTAS	   0x0f
#define MSR_LEVELS	   0xf0
#define MSR_PEER_READY	   (MSR_CTS | MSR_DSR | MSR_DCD) /* there is always somebody at the line */

struct Serial {
	SerialState state;
	IrqSink irq;
	unsigned gsi;
	bool line; /* as last told to `irq` */
	SerialOutput output;
	void (*on_room)(void *owner);
	void *on_room_owner;
	bool refused; /* input had to be turned away: on_room is due */
};

Serial *serial_create(IrqSink irq, unsigned gsi, SerialOutput output)
{
	Serial *serial = g_new0(Serial, 1);

	serial->irq = irq;
	serial->gsi = gsi;
	serial->output = output;
	serial->state.msr = MSR_PEER_READY;
	return serial;
}

void serial_destroy(Serial *serial)
{
	g_free(serial);
}

void serial_on_room(Serial *serial, void (*notify)(void *owner), void *owner)
{
	serial->on_room = notify;
	serial->on_room_owner = owner;
}

static unsigned fifo_capacity(const SerialState *state)
{
	return state->fcr & FCR_ENABLE ? SERIAL_FIFO_SIZE : 1;
}

static void fifo_drop(SerialFifo *fifo, size_t n)
{
	fifo->count -= (uint8_t)n;
	memmove(fifo->bytes, fifo->bytes + n, fifo->count);
}

static uint8_t iir_received(const SerialState *state)
{
	static const uint8_t triggers[] = {1, 4, 8, 14};

	if (!(state->fcr & FCR_ENABLE))
		return IIR_RECEIVED;
	/* Bytes below the trigger level time out at once: on a line without speed nothing follows.
	 */
	return state->receive.count >= triggers[state->fcr >> FCR_TRIGGER_SHIFT] ? IIR_RECEIVED
										 : IIR_TIMEOUT;
}

/* The interrupt of highest priority (PC16550D, table IV), or IIR_NONE. */
static uint8_t pending(const SerialState *state)
{
	if ((state->ier & IER_LINE_STATUS) && state->overrun)
		return IIR_LINE_STATUS;
	if ((state->ier & IER_RECEIVED) && state->receive.count > 0)
		return iir_received(state);
	if ((state->ier & IER_TRANSMITTER) && state->thr_interrupt)
		return IIR_TRANSMITTER;
	if ((state->ier & IER_MODEM) && (state->msr & MSR_DELTAS))
		return IIR_MODEM;
	return IIR_NONE;
}

/* OUT2, which gates the interrupt on a PC's card, is not looked at: nobody shares this line. */
static void update_line(Serial *serial)
{
	bool line = pending(&serial->state) != IIR_NONE;

	if (line == serial->line)
		return;
	serial->line = line;
	serial->irq.set(serial->irq.owner, serial->gsi, line);
}

/*
 * Whether the guest wants input. RTS comes with the opening of the port, after
 * the driver has cleared the FIFOs: what is typed or piped in before then waits
 * at the sender instead of being cleared away.
 */
static bool can_receive(const SerialState *state)
{
	return (state->mcr & (MCR_RTS | MCR_LOOP)) == MCR_RTS;
}

/* Not for each byte that fits: once the guest has emptied the FIFO, or opened the port. */
static void notify_room(Serial *serial)
{
	if (!serial->refused || !serial->on_room || serial->state.receive.count > 0 ||
	    !can_receive(&serial->state))
		return;
	serial->refused = false;
	serial->on_room(serial->on_room_owner);
}

size_t serial_receive(Serial *serial, const uint8_t *data, size_t length)
{
	SerialState *state = &serial->state;
	size_t room = 0;

	if (can_receive(state) && state->receive.count < fifo_capacity(state))
		room = fifo_capacity(state) - state->receive.count;

	size_t n = MIN(room, length);

	if (n > 0)
		memcpy(state->receive.bytes + state->receive.count, data, n);
	state->receive.count += (uint8_t)n;
	if (n < length)
		serial->refused = true;
	update_line(serial);
	return n;
}

/* Hands over what waits. The transmitter is empty again when all of it is gone. */
static void drain(Serial *serial)
{
	SerialFifo *fifo = &serial->state.transmit;

	if (fifo->count == 0)
		return;

	size_t taken = serial->output.write(serial->output.owner, fifo->bytes, fifo->count);

	fifo_drop(fifo, MIN(taken, fifo->count));
	if (fifo->count == 0)
		serial->state.thr_interrupt = true;
}

void serial_output_ready(Serial *serial)
{
	drain(serial);
	update_line(serial);
}

/* Loopback: the transmitter's bytes arrive at the receiver (PC16550D 8.6.7, 8.4 for overrun). */
static void loop_back(SerialState *state, uint8_t byte)
{
	if (state->receive.count < fifo_capacity(state)) {
		state->receive.bytes[state->receive.count++] = byte;
		return;
	}
	state->overrun = true;
	if (!(state->fcr & FCR_ENABLE))
		state->receive.bytes[0] = byte;
}

/*
 * A guest that writes although THRE is clear and the FIFO is full loses the
 * byte, as on hardware. With nothing waiting the byte goes straight through.
 */
static void data_write(Serial *serial, uint8_t byte)
{
	SerialState *state = &serial->state;
	SerialFifo *fifo = &state->transmit;

	state->thr_interrupt = false;
	if (state->mcr & MCR_LOOP) {
		loop_back(state, byte);
		state->thr_interrupt = fifo->count == 0;
		return;
	}
	if (fifo->count < fifo_capacity(state))
		fifo->bytes[fifo->count++] = byte;
	if (fifo->count == 1)
		drain(serial);
}

static uint8_t data_read(Serial *serial)
{
	SerialFifo *fifo = &serial->state.receive;
	uint8_t byte = fifo->count > 0 ? fifo->bytes[0] : 0;

	if (fifo->count > 0)
		fifo_drop(fifo, 1);
	return byte;
}

/* Enabling the interrupt while the transmitter is empty raises it: drivers test for that. */
static void ier_write(SerialState *state, uint8_t value)
{
	uint8_t enabled = value & ~state->ier;

	state->ier = value & IER_ALL;
	if ((enabled & IER_TRANSMITTER) && state->transmit.count == 0)
		state->thr_interrupt = true;
}

/* Reading tells of the transmitter once; the other sources stay until they are served. */
static uint8_t iir_read(SerialState *state)
{
	uint8_t value = pending(state);

	if (value == IIR_TRANSMITTER)
		state->thr_interrupt = false;
	return value | (state->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static void clear_transmit(SerialState *state)
{
	if (state->transmit.count > 0)
		state->thr_interrupt = true;
	state->transmit.count = 0;
}

/* Both FIFOs are emptied by a change of the enable bit; the other bits count only with it set. */
static void fcr_write(SerialState *state, uint8_t value)
{
	bool changed = (value ^ state->fcr) & FCR_ENABLE;

	if (changed || ((value & FCR_ENABLE) && (value & FCR_CLEAR_RECEIVE)))
		state->receive.count = 0;
	if (changed || ((value & FCR_ENABLE) && (value & FCR_CLEAR_TRANSMIT)))
		clear_transmit(state);
	state->fcr = value & FCR_ENABLE ? value & ~(FCR_CLEAR_RECEIVE | FCR_CLEAR_TRANSMIT) : 0;
}

static uint8_t modem_levels(uint8_t mcr)
{
	if (!(mcr & MCR_LOOP))
		return MSR_PEER_READY;
	return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
	       (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0);
}

/* The level bits 7:4 stand four above their delta bits 3:0. */
static void mcr_write(SerialState *state, uint8_t value)
{
	uint8_t before = state->msr & MSR_LEVELS;
	uint8_t after = modem_levels(value & MCR_ALL);
	uint8_t deltas = (before ^ after) >> 4;

	if (after & MSR_RI)
		deltas &= ~MSR_RI_ENDED;
	state->mcr = value & MCR_ALL;
	state->msr = after | (state->msr & MSR_DELTAS) | deltas;
}

static uint8_t lsr_read(SerialState *state)
{
	uint8_t value = state->receive.count > 0 ? LSR_DATA_READY : 0;

	if (state->overrun)
		value |= LSR_OVERRUN;
	if (state->transmit.count == 0)
		value |= LSR_THR_EMPTY | LSR_TRANS_EMPTY;
	state->overrun = false;
	return value;
}

static uint8_t msr_read(SerialState *state)
{
	uint8_t value = state->msr;

	state->msr &= MSR_LEVELS;
	return value;
}

static uint8_t register_read(Serial *serial, unsigned reg)
{
	SerialState *state = &serial->state;

	if ((state->lcr & LCR_DLAB) && reg <= REG_IER)
		return state->divisor[reg];
	switch (reg) {
	case REG_DATA:
		return data_read(serial);
	case REG_IER:
		return state->ier;
	case REG_IIR:
		return iir_read(state);
	case REG_LCR:
		return state->lcr;
	case REG_MCR:
		return state->mcr;
	case REG_LSR:
		return lsr_read(state);
	case REG_MSR:
		return msr_read(state);
	default:
		return state->scr;
	}
}

static void register_write(Serial *serial, unsigned reg, uint8_t value)
{
	SerialState *state = &serial->state;

	if ((state->lcr & LCR_DLAB) && reg <= REG_IER) {
		state->divisor[reg] = value;
		return;
	}
	switch (reg) {
	case REG_DATA:
		data_write(serial, value);
		break;
	case REG_IER:
		ier_write(state, value);
		break;
	case REG_IIR:
		fcr_write(state, value);
		break;
	case REG_LCR:
		state->lcr = value;
		break;
	case REG_MCR:
		mcr_write(state, value);
		break;
	case REG_SCR:
		state->scr = value;
		break;
	}
}

/* Any access may raise or end an interrupt, or make room: both are looked at after each. */
static void settle(Serial *serial)
{
	update_line(serial);
	notify_room(serial);
}

static uint64_t port_read(void *device, uint64_t offset, unsigned size G_GNUC_UNUSED)
{
	uint8_t value = register_read(device, (unsigned)offset);

	settle(device);
	return value;
}

static void port_write(void *device, uint64_t offset, unsigned size G_GNUC_UNUSED, uint64_t value)
{
	register_write(device, (unsigned)offset, (uint8_t)value);
	settle(device);
}

static const IoOps serial_ops = {
	.name = "serial",
	.read = port_read,
	.write = port_write,
	.width = 1,
};

void serial_attach(Serial *serial, IoBus *bus, uint64_t port)
{
	io_bus_add(bus, IO_SPACE_PORT, port, LAYOUT_COM1_SIZE, &serial_ops, serial);
}

void serial_save(const Serial *serial, SerialState *ret_state)
{
	*ret_state = serial->state;
}

/* A flag of an untrusted state: read as a byte, since any other bool than 0 or 1 is none. */
static bool is_flag(const bool *flag)
{
	return *(const uint8_t *)flag <= 1;
}

static bool check(const SerialState *state, GError **error)
{
	const struct {
		const char *name;
		unsigned value;
		bool possible;
	} values[] = {
		{"ier", state->ier, !(state->ier & ~IER_ALL)},
		{"fcr", state->fcr,
		 !(state->fcr & (FCR_CLEAR_RECEIVE | FCR_CLEAR_TRANSMIT)) &&
			 (state->fcr & FCR_ENABLE || state->fcr == 0)},
		{"mcr", state->mcr, !(state->mcr & ~MCR_ALL)},
		{"receive.count", state->receive.count,
		 state->receive.count <= fifo_capacity(state)},
		{"transmit.count", state->transmit.count,
		 state->transmit.count <= fifo_capacity(state)},
		{"overrun", *(const uint8_t *)&state->overrun, is_flag(&state->overrun)},
		{"thr-interrupt", *(const uint8_t *)&state->thr_interrupt,
		 is_flag(&state->thr_interrupt)},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(values); i++)
		if (!values[i].possible)
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "serial: %s = %#x is nothing that a serial port can hold",
					  values[i].name, values[i].value);
	return true;
}

bool serial_load(Serial *serial, const SerialState *state, GError **error)
{
	if (!check(state, error))
		return false;
	serial->state = *state;
	/* In any case: the pin may be as a state says that was another port's. */
	serial->line = pending(&serial->state) != IIR_NONE;
	serial->irq.set(serial->irq.owner, serial->gsi, serial->line);
	notify_room(serial);
	return true;
}
