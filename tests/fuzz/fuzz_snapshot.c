// SPDX-License-Identifier: MIT
/*
 * Snapshot files, and the device tree in them. The first byte of an input says what
 * follows it:
 *
 *   IS_TREE             a device tree as it is
 *   IS_TREE | PARTS     the length of its names (2 bytes), the names, the nodes: the
 *                       rest of the tree is made around them
 *   0                   a file: the header without the zeros in it (FileHeader up to
 *                       `parent`, and PARENT_SIZE bytes of that), then what follows the
 *                       header. The RAM is a hole.
 *
 * The other bits mend what a mutation has almost no chance to get right.
 */
#include "../unit/state_example.h"
#include "base/bytes.h"
#include "base/layout.h"
#include "fuzz.h"
#include "snapshot/file_format.h"
#include "snapshot/state_tree.h"

#include <libfdt.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	IS_TREE = 1 << 0,
	PARTS = 1 << 1,
	MEND_SUMS = 1 << 2,
	MEND_LENGTHS = 1 << 3,
	HAS_PARENT = 1 << 4, /* continues the file of make_parent() … */
	HAS_ITSELF = 1 << 5, /* … or itself */
};

#define HEAD_SIZE   offsetof(FileHeader, parent)
#define PARENT_SIZE 32
#define RAM_MAX	    (256 * LAYOUT_MIB) /* of which there is a copy in memory */
#define LENGTH_MAX  (8192 * LAYOUT_GIB)

/* What is read can be written, and is then the same. */
static void check_state(const MachineState *state)
{
	g_autoptr(GBytes) tree = state_tree_write(state, NULL);
	g_autoptr(MachineState) back = NULL;
	g_autoptr(GBytes) again = NULL;
	gsize size;
	const void *data;

	g_assert_cmpuint(state->vcpus->len, >, 0);
	g_assert_cmpuint(state->vcpus->len, <=, LAYOUT_CPUS_MAX);
	g_assert_nonnull(tree);
	data = g_bytes_get_data(tree, &size);
	back = state_tree_read(data, size, NULL);
	g_assert_nonnull(back);
	again = state_tree_write(back, NULL);
	g_assert_true(g_bytes_equal(tree, again));
}

static void read_tree(const void *data, size_t size)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(MachineState) state = state_tree_read(data, size, &error);

	g_assert_true((state != NULL) != (error != NULL));
	if (state)
		check_state(state);
}

static void read_tree_parts(const uint8_t *data, size_t size)
{
	size_t names = size < 2 ? 0 : MIN(data[0] | (size_t)data[1] << 8, size - 2);
	size_t nodes = size < 2 ? 0 : size - 2 - names;
	size_t head = FDT_V17_SIZE + sizeof(struct fdt_reserve_entry);
	g_autofree uint8_t *tree = g_malloc0(head + nodes + names);
	struct fdt_header *header = (struct fdt_header *)tree;

	fdt_set_magic(header, FDT_MAGIC);
	fdt_set_totalsize(header, head + nodes + names);
	fdt_set_off_dt_struct(header, head);
	fdt_set_off_dt_strings(header, head + nodes);
	fdt_set_off_mem_rsvmap(header, FDT_V17_SIZE);
	fdt_set_version(header, 17);
	fdt_set_last_comp_version(header, 16);
	fdt_set_size_dt_strings(header, names);
	fdt_set_size_dt_struct(header, nodes);
	if (size >= 2) {
		memcpy(tree + head + nodes, data + 2, names);
		memcpy(tree + head, data + 2 + names, nodes);
	}
	read_tree(tree, head + nodes + names);
}

static void mend_lengths(FileHeader *header, size_t size)
{
	header->ram_offset = header->ram_offset / FILE_BLOCK * FILE_BLOCK;
	header->ram_size = header->ram_size / SNAPSHOT_PAGE * SNAPSHOT_PAGE;
	header->tree.offset = sizeof(*header);
	header->tree.length = MIN(header->tree.length, size);
	header->index.offset = header->tree.offset + (header->tree.length + 7) / 8 * 8;
	header->length = header->ram_offset + header->ram_size;
}

/* The RAM that there is, is zero. */
static void mend_records(const FileHeader *header, uint8_t *file, size_t size)
{
	static const uint8_t zeros[FILE_BLOCK];
	uint64_t at = header->index.offset, end = at + header->index.length, sum = 0;
	FileRecord records[FILE_PIECE_RECORDS];

	while (at < end && end <= size) {
		size_t n = MIN((end - at) / sizeof(records[0]), FILE_PIECE_RECORDS);

		if (n == 0)
			break;
		memcpy(records, file + at, n * sizeof(records[0]));
		for (size_t i = 0; i < n; i++)
			records[i].checksum = file_pages_checksum(records[i].stored, zeros);
		memcpy(file + at, records, n * sizeof(records[0]));
		sum = file_piece_checksum(records, n, sum);
		at += n * sizeof(records[0]);
	}
	((FileHeader *)file)->index.checksum = sum;
}

static void mend_sums(uint8_t *file, size_t size)
{
	FileHeader *header = (FileHeader *)file;
	const FilePart *tree = &header->tree;

	if (tree->offset <= size && tree->length <= size - tree->offset)
		header->tree.checksum = bytes_checksum(file + tree->offset, tree->length, 0);
	if (header->index.offset <= size && header->index.length <= size - header->index.offset)
		mend_records(header, file, size);
	header->checksum = file_header_checksum(header);
}

static int make_file(const uint8_t *bytes, size_t size, uint64_t length)
{
	int fd = memfd_create("snapshot", MFD_CLOEXEC);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, bytes, size), ==, (ssize_t)size);
	g_assert_cmpint(ftruncate(fd, (off_t)MIN(length, LENGTH_MAX)), ==, 0);
	return fd;
}

/* A full file that inputs can continue; made once. */
static int make_parent(FileHeader *ret_header)
{
	static FileHeader header;
	static int fd = -1;

	if (fd < 0) {
		g_autoptr(MachineState) state = state_example(1, 4 * LAYOUT_MIB);
		g_autoptr(GBytes) tree = state_tree_write(state, NULL);
		g_autofree uint8_t *file = NULL;
		size_t size = sizeof(header) + g_bytes_get_size(tree);

		memcpy(header.magic, FILE_MAGIC, sizeof(header.magic));
		header.version = header.compatible_version = FILE_VERSION;
		memset(header.id, 0x55, sizeof(header.id));
		header.tree =
			(FilePart){.offset = sizeof(header), .length = g_bytes_get_size(tree)};
		header.index.offset = (size + 7) / 8 * 8;
		header.ram_offset = FILE_BLOCK;
		header.ram_size = state->memory;
		header.length = header.ram_offset + header.ram_size;
		file = g_malloc0(size);
		memcpy(file, &header, sizeof(header));
		memcpy(file + sizeof(header), g_bytes_get_data(tree, NULL), size - sizeof(header));
		mend_sums(file, size);
		fd = make_file(file, size, header.length);
	}
	*ret_header = header;
	return fd;
}

static void set_parent(FileHeader *header, uint8_t flags)
{
	FileHeader parent;
	int fd = make_parent(&parent);

	if (flags & HAS_PARENT) {
		memcpy(header->parent_id, parent.id, sizeof(parent.id));
		header->ram_size = parent.ram_size;
		header->length = header->ram_offset + header->ram_size;
		g_snprintf(header->parent, sizeof(header->parent), "%d", fd);
	} else if (flags & HAS_ITSELF) {
		/* The lowest free number is the next file's. */
		int next = dup(fd);

		close(next);
		g_snprintf(header->parent, sizeof(header->parent), "%d", next);
	}
}

static void use_ram(const Snapshot *snapshot)
{
	uint64_t size = snapshot_state(snapshot)->memory, offset;
	int fd = snapshot_ram_file(snapshot, &offset);
	uint8_t *ram, byte;

	snapshot_verify_ram(snapshot, NULL, NULL);
	g_assert_true(snapshot_read_ram(snapshot, size - 1, &byte, 1, NULL));
	g_assert_false(snapshot_read_ram(snapshot, size, &byte, 1, NULL));
	if (size > RAM_MAX)
		return;
	ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, (off_t)offset);
	g_assert_true(ram != MAP_FAILED);
	if (snapshot_apply_increments(snapshot, ram, NULL))
		g_assert_cmpint(ram[size - 1], ==, byte);
	munmap(ram, size);
}

static void read_file(uint8_t flags, const uint8_t *data, size_t size)
{
	size_t head = MIN(size, HEAD_SIZE), name = MIN(size - head, PARENT_SIZE);
	size_t rest = size - head - name;
	g_autofree uint8_t *file = g_malloc0(sizeof(FileHeader) + rest);
	FileHeader *header = (FileHeader *)file;
	g_autoptr(Snapshot) snapshot = NULL;
	g_autoptr(GError) error = NULL;
	char path[64];
	int fd;

	memcpy(file, data, head);
	memcpy(header->parent, data + head, name);
	memcpy(file + sizeof(*header), data + head + name, rest);
	if (flags & MEND_LENGTHS)
		mend_lengths(header, rest);
	set_parent(header, flags);
	if (flags & MEND_SUMS)
		mend_sums(file, sizeof(*header) + rest);
	fd = make_file(file, sizeof(*header) + rest, header->length);
	g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snapshot = snapshot_open(path, &error);
	g_assert_true((snapshot != NULL) != (error != NULL));
	if (snapshot) {
		check_state(snapshot_state(snapshot));
		use_ram(snapshot);
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (!(data[0] & IS_TREE))
		read_file(data[0], data + 1, size - 1);
	else if (data[0] & PARTS)
		read_tree_parts(data + 1, size - 1);
	else
		read_tree(data + 1, size - 1);
	return 0;
}
