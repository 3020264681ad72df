/* Compressed kernel payloads as streams: xz (with the x86 filter), zstd and gzip.
 *
 * The libraries do the work; this file gives the three one face. Memory beyond the library's own
 * window is never allocated for the result, which is read into place piece by piece. */
#include "boot/unpack.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

/* Linux packs with windows of up to 128 MiB; a file that asks for much more is damaged or hostile.
 */
enum { UNPACK_WINDOW_LOG = 27 };
static const uint64_t unpack_memory_max = 256 << 20;

enum unpack_kind { UNPACK_NONE, UNPACK_XZ, UNPACK_ZSTD, UNPACK_GZIP };

struct unpack {
    enum unpack_kind kind;
    const char *name;
    bool ended;
    lzma_stream xz;
    z_stream gzip;
    ZSTD_DStream *zstd;
    ZSTD_inBuffer zstd_in;
};

struct format {
    const char *name;
    enum unpack_kind kind;
    unsigned length;
    uint8_t magic[6];
};

/* The magic bytes of what Linux can be packed with: lib/decompress.c of Linux names the same seven.
 */
static const struct format formats[] = {
    { "xz", UNPACK_XZ, 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
    { "zstd", UNPACK_ZSTD, 4, { 0x28, 0xb5, 0x2f, 0xfd } },
    { "gzip", UNPACK_GZIP, 2, { 0x1f, 0x8b } },
    { "lz4", UNPACK_NONE, 4, { 0x02, 0x21, 0x4c, 0x18 } },
    { "bzip2", UNPACK_NONE, 3, { 'B', 'Z', 'h' } },
    { "lzma", UNPACK_NONE, 3, { 0x5d, 0, 0 } },
    { "lzo", UNPACK_NONE, 4, { 0x89, 'L', 'Z', 'O' } },
};

static const struct format *format_find(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (size >= formats[i].length && memcmp(data, formats[i].magic, formats[i].length) == 0)
            return &formats[i];
    return NULL;
}

const char *unpack_format_name(const uint8_t *data, size_t size)
{
    const struct format *f = format_find(data, size);
    return f ? f->name : "unknown";
}

bool unpack_is_supported(const uint8_t *data, size_t size)
{
    const struct format *f = format_find(data, size);
    return f && f->kind != UNPACK_NONE;
}

static bool unpack_start(struct unpack *u, const uint8_t *data, size_t size)
{
    switch (u->kind) {
    case UNPACK_XZ:
        u->xz.next_in = data;
        u->xz.avail_in = size;
        return lzma_stream_decoder(&u->xz, unpack_memory_max, 0) == LZMA_OK;
    case UNPACK_ZSTD:
        u->zstd_in = (ZSTD_inBuffer){ data, size, 0 };
        u->zstd = ZSTD_createDStream();
        return u->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax,
                                                               UNPACK_WINDOW_LOG));
    case UNPACK_GZIP:
        u->gzip.next_in = (uint8_t *)data;
        u->gzip.avail_in = size;
        return inflateInit2(&u->gzip, 16 + MAX_WBITS) == Z_OK;
    case UNPACK_NONE:
        break;
    }
    return false;
}

struct unpack *unpack_open(const uint8_t *data, size_t size, struct error *err)
{
    const struct format *f = format_find(data, size);
    if (!f || f->kind == UNPACK_NONE || size > UINT32_MAX) {
        error_set(err, "cannot unpack data of format %s; xz, zstd and gzip are known",
                  f ? f->name : "unknown");
        return NULL;
    }
    struct unpack *u = ALLOC(struct unpack);
    u->kind = f->kind;
    u->name = f->name;
    if (!unpack_start(u, data, size)) {
        error_set_host(err, 0, "the %s library cannot start", f->name);
        unpack_close(u);
        return NULL;
    }
    return u;
}

void unpack_close(struct unpack *u)
{
    if (!u)
        return;
    if (u->kind == UNPACK_XZ)
        lzma_end(&u->xz);
    if (u->kind == UNPACK_GZIP)
        inflateEnd(&u->gzip);
    ZSTD_freeDStream(u->zstd);
    free(u);
}

/* Each step reads up to `len` bytes into `dst`, says how many came, and sets `ended` at the
 * stream's end. It returns false when the data is damaged. */
static bool step_xz(struct unpack *u, uint8_t *dst, size_t len, size_t *got)
{
    u->xz.next_out = dst;
    u->xz.avail_out = len;
    lzma_ret r = lzma_code(&u->xz, LZMA_RUN);
    *got = len - u->xz.avail_out;
    u->ended = r == LZMA_STREAM_END;
    return r == LZMA_OK || r == LZMA_STREAM_END;
}

static bool step_zstd(struct unpack *u, uint8_t *dst, size_t len, size_t *got)
{
    ZSTD_outBuffer out = { dst, len, 0 };
    size_t r = ZSTD_decompressStream(u->zstd, &out, &u->zstd_in);
    *got = out.pos;
    u->ended = r == 0;
    return !ZSTD_isError(r);
}

static bool step_gzip(struct unpack *u, uint8_t *dst, size_t len, size_t *got)
{
    u->gzip.next_out = dst;
    u->gzip.avail_out = len;
    int r = inflate(&u->gzip, Z_NO_FLUSH);
    *got = len - u->gzip.avail_out;
    u->ended = r == Z_STREAM_END;
    return r == Z_OK || r == Z_STREAM_END;
}

static bool unpack_step(struct unpack *u, uint8_t *dst, size_t len, size_t *got)
{
    switch (u->kind) {
    case UNPACK_XZ:
        return step_xz(u, dst, len, got);
    case UNPACK_ZSTD:
        return step_zstd(u, dst, len, got);
    default:
        return step_gzip(u, dst, len, got);
    }
}

bool unpack_read(struct unpack *u, void *dst, size_t len, struct error *err)
{
    uint8_t skipped[16384];
    unsigned idle = 0;
    while (len) {
        if (u->ended)
            return error_set(err, "the %s data ends early", u->name);
        size_t want = dst ? len : len < sizeof skipped ? len : sizeof skipped, got = 0;
        if (want > UINT32_MAX / 2)
            want = UINT32_MAX / 2;
        if (!unpack_step(u, dst ? dst : skipped, want, &got))
            return error_set(err, "the %s data is damaged or cut short", u->name);
        /* A decoder that neither reads nor writes twice in a row has run out of input. */
        idle = got ? 0 : idle + 1;
        if (idle > 2)
            return error_set(err, "the %s data is cut short", u->name);
        if (dst)
            dst = (uint8_t *)dst + got;
        len -= got;
    }
    return true;
}

bool unpack_finish(struct unpack *u, struct error *err)
{
    uint8_t extra;
    size_t got = 0;
    for (int i = 0; i < 3 && !u->ended; i++) {
        if (!unpack_step(u, &extra, 1, &got))
            return error_set(err, "the %s data is damaged at its end", u->name);
        if (got)
            return error_set(err, "the %s data is longer than its size field says", u->name);
    }
    return u->ended || error_set(err, "the %s data is cut short", u->name);
}
