/* Kernels as sources: kallsyms from an image file or from the memory of a guest that runs one. */
#include "debug/symbols_internal.h"

#include "boot/image.h"
#include "debug/kallsyms.h"
#include "debug/kernel_image.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* How much of a kernel's mapping is searched; today's are 30 to 60 MiB. */
#define KERNEL_SPAN_MAX (256ull << 20)

enum {
    PAGE = 4096,
    NAMES_MAX = 128 << 20, /* bytes of all names: a guest's table may claim anything */
};

static bool add_kallsyms(struct symbols *s, const uint8_t *data, size_t size, struct error *err)
{
    struct kallsyms k;
    if (!kallsyms_find(&k, data, size, err))
        return false;
    struct kallsyms_cursor cursor = { 0 };
    struct kallsyms_symbol symbol;
    size_t names = 0;
    while (kallsyms_next(&k, &cursor, &symbol)) {
        names += symbol.len + 1;
        if (names > NAMES_MAX)
            return error_set(err, "kallsyms: the names alone have more than %d MiB",
                             NAMES_MAX >> 20);
        if (symbol.len)
            symbols_add(s, &(struct symbol_def){ .name = symbol.name,
                                                 .len = symbol.len,
                                                 .addr = symbol.addr,
                                                 .type = symbol.type,
                                                 .fixed = symbol.fixed });
    }
    return true;
}

bool symbols_load_kallsyms_kernel(struct symbols *s, const struct kernel_image *k, unsigned *source,
                                  struct error *err)
{
    size_t size;
    const uint8_t *data = kernel_image_bytes(k, &size);
    symbols_begin(s, SYMBOLS_KALLSYMS_IMAGE, kernel_image_path(k));
    bool ok = add_kallsyms(s, data, size, err);
    if (!ok)
        error_prefix(err, "kernel %s: ", kernel_image_path(k));
    return symbols_commit(s, ok, source);
}

bool symbols_load_kallsyms_image(struct symbols *s, const char *path, unsigned *source,
                                 struct error *err)
{
    struct kernel_image *k = kernel_image_open(path, NULL, err);
    bool ok = k && symbols_load_kallsyms_kernel(s, k, source, err);
    kernel_image_close(k);
    return ok;
}

/* The lowest place of a kernel at which something is mapped; 0: none. */
static uint64_t find_mapping(const struct guest_memory *mem)
{
    uint8_t byte;
    for (uint64_t at = KERNEL_MAP_START; at < KERNEL_MAP_END; at += KERNEL_MAP_STEP)
        if (guest_read(mem, at, &byte, 1))
            return at;
    return 0;
}

/* Copy what is mapped from `start` on; holes (memory given back after booting) stay zero. Ends at a
 * hole of 16 MiB. Returns the size. */
static size_t copy_mapping(const struct guest_memory *mem, uint64_t start, uint8_t *out)
{
    size_t size = 0;
    for (size_t at = 0; at < KERNEL_SPAN_MAX && start + at < KERNEL_MAP_END; at += PAGE) {
        if (guest_read(mem, start + at, out + at, PAGE))
            size = at + PAGE;
        else if (at - size >= 16 << 20)
            break;
    }
    return size;
}

static bool add_from_memory(struct symbols *s, const struct guest_memory *mem, struct error *err)
{
    uint64_t start = find_mapping(mem);
    if (!start)
        return error_set(err,
                         "guest memory: nothing is mapped at 0x%llx-0x%llx, where Linux has its "
                         "image: it has not started yet, or it is not Linux",
                         KERNEL_MAP_START, KERNEL_MAP_END - 1);
    uint8_t *copy = mmap(NULL, KERNEL_SPAN_MAX, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (copy == MAP_FAILED)
        return error_set_host(err, 0, "no memory for a copy of the guest's kernel");
    size_t size = copy_mapping(mem, start, copy);
    bool ok = add_kallsyms(s, copy, size, err);
    if (!ok)
        error_prefix(err, "guest memory, 0x%zx bytes from 0x%llx: ", size,
                     (unsigned long long)start);
    munmap(copy, KERNEL_SPAN_MAX);
    return ok;
}

bool symbols_load_kallsyms_memory(struct symbols *s, const struct guest_memory *mem,
                                  unsigned *source, struct error *err)
{
    symbols_begin(s, SYMBOLS_KALLSYMS_MEMORY, NULL);
    return symbols_commit(s, add_from_memory(s, mem, err), source);
}

bool symbols_load(struct symbols *s, const char *path, unsigned *source, struct error *err)
{
    struct image image;
    if (!image_open(&image, "symbols", path, UINT64_MAX, err))
        return false;
    bool elf = image.size >= SELFMAG && memcmp(image.data, ELFMAG, SELFMAG) == 0;
    bool bzimage = image.size >= 0x206 && memcmp(image.data + 0x202, "HdrS", 4) == 0;
    image_close(&image);
    if (bzimage)
        return symbols_load_kallsyms_image(s, path, source, err);
    if (!elf)
        return symbols_load_map(s, path, source, err);
    /* A program without symbols is told as such, unless it proves to be a kernel. */
    struct error why;
    if (symbols_load_elf(s, path, source, &why) ||
        symbols_load_kallsyms_image(s, path, source, NULL))
        return true;
    if (err)
        *err = why;
    return false;
}
