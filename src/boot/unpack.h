/* Compressed kernel payloads, read as a stream so that the result goes straight to where it
 * belongs. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unpack;

/* What the first bytes say the data is: "xz", "zstd", "gzip", other names Linux knows, or
 * "unknown". */
const char *unpack_format_name(const uint8_t *data, size_t size);

/* Whether unpack_open can read it. */
bool unpack_is_supported(const uint8_t *data, size_t size);

/* `data` is borrowed until unpack_close. NULL with `err` when it cannot be read. */
struct unpack *unpack_open(const uint8_t *data, size_t size, struct error *err);
void unpack_close(struct unpack *u); /* NULL is allowed */

/* Exactly `len` more bytes; a NULL `dst` skips them. False when the data is damaged or too short.
 */
bool unpack_read(struct unpack *u, void *dst, size_t len, struct error *err);

/* The stream must end here; its checksum, where it has one, must be right. */
bool unpack_finish(struct unpack *u, struct error *err);
