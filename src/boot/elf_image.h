/* What a loader needs to know of an ELF executable for x86. */
#pragma once

#include "boot/layout.h"
#include "boot/unpack.h"

struct elf_segment {
    unsigned index;             /* of the program header, for messages */
    uint64_t offset, file_size; /* in the file */
    uint64_t paddr, mem_size;
};

struct elf_image {
    bool is64;
    uint64_t entry;
    struct elf_segment *segments; /* PT_LOADs that occupy memory, by offset in the file */
    size_t count;
    uint64_t start, end; /* of all segments in memory; end is exclusive */
    bool has_pvh;
    uint32_t pvh_entry;
};

bool elf_image_is_elf(const uint8_t *data, size_t size);

/* Read and check the headers in the first `size` bytes of a file of `file_size` bytes. (The note of
 * PVH is only found where it is among those `size`.) `data` is as before when the call returns. */
bool elf_image_parse(struct elf_image *elf, uint8_t *data, size_t size, uint64_t file_size,
                     struct error *err);
void elf_image_fini(struct elf_image *elf); /* safe on a zeroed struct */

/* Take the segments' places; segments that overlap each other are found here. */
bool elf_image_claim(const struct elf_image *elf, struct layout *l, struct error *err);

/* Write the claimed segments, from a file or from a stream of which `prefix_size` bytes
 * have been read already. What the file does not fill is zeroed. */
bool elf_image_load(const struct elf_image *elf, struct layout *l, const struct image *image,
                    struct error *err);
bool elf_image_load_stream(const struct elf_image *elf, struct layout *l, const uint8_t *prefix,
                           size_t prefix_size, uint64_t stream_size, struct unpack *u,
                           struct error *err);
