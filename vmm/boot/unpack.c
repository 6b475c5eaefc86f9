// SPDX-License-Identifier: MIT
/*
 * Both decoders write straight into the result, which serves as their window as
 * well, and read the file in pieces: nothing else of the kernel's size exists.
 */
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_d_stableOutBuffer; its number is stable since 1.4.5 */
#include "boot/unpack.h"

#include "base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#define PIECE	(128 * 1024)
#define TRAILER 4 /* size when unpacked, little-endian */

/* Input in pieces; `left` counts what has not been read yet. */
typedef struct Input {
	const BootFile *file;
	uint64_t offset;
	uint64_t left;
	uint8_t *piece;
} Input;

static bool next_piece(Input *input, size_t *ret_size, GError **error)
{
	*ret_size = MIN(input->left, PIECE);
	if (!boot_file_read(input->file, input->offset, input->piece, *ret_size, error))
		return false;
	input->offset += *ret_size;
	input->left -= *ret_size;
	return true;
}

static bool damaged(const Input *input, GError **error, const char *why)
{
	return umbra_fail(error, UMBRA_ERROR_INPUT, "kernel '%s': its payload is damaged: %s",
			  input->file->path, why);
}

static bool unpack_zstd(Input *input, uint8_t *to, uint64_t size, GError **error)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();
	ZSTD_outBuffer out = {.dst = to, .size = size};
	size_t status = 1;
	bool ok = true;

	ZSTD_DCtx_setParameter(context, ZSTD_d_stableOutBuffer, 1);
	while (ok && status != 0 && input->left > 0) {
		ZSTD_inBuffer in = {.src = input->piece};

		ok = next_piece(input, &in.size, error);
		while (ok && status != 0 && in.pos < in.size) {
			status = ZSTD_decompressStream(context, &out, &in);
			if (ZSTD_isError(status))
				ok = damaged(input, error, ZSTD_getErrorName(status));
		}
	}
	ZSTD_freeDCtx(context);
	if (ok && (status != 0 || out.pos != size))
		return damaged(input, error, "it is not as long as it says");
	return ok;
}

static bool unpack_gzip(Input *input, uint8_t *to, uint64_t size, GError **error)
{
	z_stream stream = {.next_out = to, .avail_out = (uInt)size};
	int status = Z_OK;
	bool ok = true;

	if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
		return umbra_fail(error, UMBRA_ERROR_FAILED, "cannot start zlib");
	while (ok && status == Z_OK && input->left > 0) {
		size_t n;

		ok = next_piece(input, &n, error);
		stream.next_in = input->piece;
		stream.avail_in = (uInt)n;
		if (ok)
			status = inflate(&stream, Z_NO_FLUSH);
	}
	if (ok && (status != Z_STREAM_END || stream.avail_out != 0))
		ok = damaged(input, error,
			     stream.msg ? stream.msg : "it is not as long as it says");
	inflateEnd(&stream);
	return ok;
}

Packing unpack_packing(const BootFile *file, uint64_t offset)
{
	static const struct {
		uint8_t magic[4];
		size_t length;
		Packing packing;
	} known[] = {
		{{0x28, 0xb5, 0x2f, 0xfd}, 4, PACKING_ZSTD}, /* RFC 8878, 3.1.1 */
		{{0x1f, 0x8b, 0x08}, 3, PACKING_GZIP},	     /* RFC 1952, 2.3.1 */
	};
	uint8_t magic[4];

	if (!boot_file_read(file, offset, magic, sizeof(magic), NULL))
		return PACKING_UNKNOWN;
	for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
		if (memcmp(magic, known[i].magic, known[i].length) == 0)
			return known[i].packing;
	return PACKING_UNKNOWN;
}

bool unpack(const BootFile *file, Packing packing, uint64_t offset, uint64_t size,
	    BootFile *ret_file, GError **error)
{
	g_autofree uint8_t *piece = g_malloc(PIECE);
	Input input = {.file = file, .offset = offset, .left = size, .piece = piece};
	uint32_t unpacked;
	void *to;
	bool ok;

	if (size < TRAILER)
		return damaged(&input, error, "too short");
	if (!boot_file_read(file, offset + size - TRAILER, &unpacked, TRAILER, error))
		return false;
	unpacked = GUINT32_FROM_LE(unpacked);
	if (unpacked == 0 || unpacked > UNPACKED_MAX)
		return damaged(&input, error, "it would unpack to nothing or to more than 1 GiB");
	/* gzip's own trailer is that size; zstd's frame ends before it. */
	if (packing == PACKING_ZSTD)
		input.left -= TRAILER;
	to = mmap(NULL, unpacked, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (to == MAP_FAILED)
		return umbra_fail_errno(error, errno, "cannot map %u bytes to unpack kernel '%s'",
					unpacked, file->path);
	ok = packing == PACKING_ZSTD ? unpack_zstd(&input, to, unpacked, error)
				     : unpack_gzip(&input, to, unpacked, error);
	if (!ok) {
		munmap(to, unpacked);
		return false;
	}
	boot_file_init_bytes(ret_file, file->path, to, unpacked, unpacked);
	return true;
}
