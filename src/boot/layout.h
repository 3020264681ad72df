/* What goes where in guest RAM while a program is loaded, and the only way loaders write there.
 *
 * Every piece is claimed by name before it is written, so that two of them never lie over each
 * other and an error says which two would. */
#pragma once

#include "boot/boot.h"
#include "boot/image.h"

struct layout_piece {
    uint64_t start, last; /* inclusive */
    char name[64];
};

struct layout {
    struct address_space *as;
    struct boot_e820 *map; /* the memory map, sorted by address */
    size_t map_count, map_capacity;
    struct layout_piece *ram; /* usable RAM: sorted, neighbours joined */
    size_t ram_count, ram_capacity;
    struct layout_piece *pieces; /* taken; reserved ranges of the map included */
    size_t piece_count, piece_capacity;
};

bool layout_init(struct layout *l, const struct boot_config *config, struct error *err);
void layout_fini(struct layout *l); /* safe on a zeroed struct */

/* Take [start, start+size), which must be usable RAM that nothing else has taken. */
bool layout_claim(struct layout *l, uint64_t start, uint64_t size, const char *name,
                  struct error *err);

/* Find room for `size` bytes at or above `min` whose last byte is at most `max`, and take it: the
 * lowest place, or the highest. `align` is a power of two. */
bool layout_place_low(struct layout *l, uint64_t size, uint64_t align, uint64_t min, uint64_t max,
                      const char *name, uint64_t *addr, struct error *err);
bool layout_place_high(struct layout *l, uint64_t size, uint64_t align, uint64_t max,
                       const char *name, uint64_t *addr, struct error *err);

/* As layout_place_low, for small things that loaders hand to a guest: page aligned, below 4 GiB,
 * above the first 64 KiB where there is room, because programs start their other processors there.
 */
bool layout_place_small(struct layout *l, uint64_t size, const char *name, uint64_t *addr,
                        struct error *err);

/* Bytes of usable RAM in all. */
uint64_t layout_ram_size(const struct layout *l);

/* "0x0-0x9fbff, 0x100000-0x7ffffff": usable RAM, for messages. */
void layout_describe_ram(const struct layout *l, char *buf, size_t size);

/* Write claimed RAM. Bytes that turn out not to be RAM are a failure. */
bool layout_write(struct layout *l, uint64_t addr, const void *data, uint64_t size,
                  struct error *err);
/* The same from a file. */
bool layout_read(struct layout *l, uint64_t addr, const struct image *image, uint64_t offset,
                 uint64_t size, struct error *err);
bool layout_zero(struct layout *l, uint64_t addr, uint64_t size, struct error *err);

/* Host pointer to claimed RAM and, in *len (at most as given), how far it goes; NULL: not RAM. */
uint8_t *layout_ptr(struct layout *l, uint64_t addr, uint64_t *len, struct error *err);

/* Place and write in one: a string with its NUL. */
bool layout_put_string(struct layout *l, const char *s, const char *name, uint64_t *addr,
                       struct error *err);
