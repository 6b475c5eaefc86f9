// SPDX-License-Identifier: MIT
#include "dev/bus.h"

#include <string.h>

typedef struct IoRange {
	uint64_t base;
	uint64_t size;
	const IoOps *ops;
	void *device;
} IoRange;

/* Sorted by base, without overlap. `last` is the range that answered last: guests repeat
 * themselves. */
typedef struct IoTable {
	GArray *ranges;
	guint last;
} IoTable;

struct IoBus {
	GMutex lock;
	IoTable tables[2]; /* by IoSpace */
};

IoBus *io_bus_create(void)
{
	IoBus *bus = g_new0(IoBus, 1);

	g_mutex_init(&bus->lock);
	for (unsigned i = 0; i < G_N_ELEMENTS(bus->tables); i++)
		bus->tables[i].ranges = g_array_new(FALSE, FALSE, sizeof(IoRange));
	return bus;
}

void io_bus_destroy(IoBus *bus)
{
	if (!bus)
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(bus->tables); i++)
		g_array_unref(bus->tables[i].ranges);
	g_mutex_clear(&bus->lock);
	g_free(bus);
}

static const IoRange *range_at(const IoTable *table, guint index)
{
	return &g_array_index(table->ranges, IoRange, index);
}

/* How many ranges start at or below `address`: the one that may hold it is just before. */
static guint ranges_up_to(const IoTable *table, uint64_t address)
{
	guint low = 0, high = table->ranges->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;

		if (range_at(table, middle)->base <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool range_holds(const IoRange *range, uint64_t address)
{
	return address >= range->base && address - range->base < range->size;
}

static const IoRange *table_find(IoTable *table, uint64_t address)
{
	if (table->last < table->ranges->len && range_holds(range_at(table, table->last), address))
		return range_at(table, table->last);

	guint index = ranges_up_to(table, address);

	if (index == 0 || !range_holds(range_at(table, index - 1), address))
		return NULL;
	table->last = index - 1;
	return range_at(table, index - 1);
}

void io_bus_add(IoBus *bus, IoSpace space, uint64_t base, uint64_t size, const IoOps *ops,
		void *device)
{
	IoTable *table = &bus->tables[space];
	IoRange range = {.base = base, .size = size, .ops = ops, .device = device};
	guint index = ranges_up_to(table, base);

	g_assert(size > 0 && base + (size - 1) >= base);
	g_assert(index == 0 || !range_holds(range_at(table, index - 1), base));
	g_assert(index == table->ranges->len || !range_holds(&range, range_at(table, index)->base));
	g_array_insert_val(table->ranges, index, range);
}

/*
 * The largest piece at the start of an access of `size` bytes that a device is
 * given in one call: a power of two, aligned within the range, no wider than
 * the device takes, not past the range's end.
 */
static unsigned piece_size(const IoRange *range, uint64_t offset, unsigned size)
{
	unsigned widest = range->ops->width ? range->ops->width : 8;
	unsigned piece = 8;

	while (piece > size || piece > widest || offset % piece != 0 ||
	       piece > range->size - offset)
		piece /= 2;
	return piece;
}

static unsigned access_piece(IoTable *table, uint64_t address, bool is_write, uint8_t *data,
			     unsigned size)
{
	const IoRange *range = table_find(table, address);
	uint64_t value = 0;

	if (!range) {
		if (!is_write)
			*data = 0xff;
		return 1;
	}

	uint64_t offset = address - range->base;
	unsigned piece = piece_size(range, offset, size);

	if (is_write) {
		memcpy(&value, data, piece);
		range->ops->write(range->device, offset, piece, value);
	} else {
		value = range->ops->read(range->device, offset, piece);
		memcpy(data, &value, piece);
	}
	return piece;
}

void io_bus_access(IoBus *bus, IoSpace space, uint64_t address, bool is_write, void *data,
		   unsigned size)
{
	uint8_t *bytes = data;

	g_mutex_lock(&bus->lock);
	for (unsigned done = 0; done < size;)
		done += access_piece(&bus->tables[space], address + done, is_write, bytes + done,
				     size - done);
	g_mutex_unlock(&bus->lock);
}

void io_bus_lock(IoBus *bus)
{
	g_mutex_lock(&bus->lock);
}

void io_bus_unlock(IoBus *bus)
{
	g_mutex_unlock(&bus->lock);
}
