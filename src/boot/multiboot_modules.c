/* Multiboot 1 modules: "FILE ARGUMENTS,FILE ARGUMENTS ..." in place of an initrd, as users of other
 * hosts know it. A comma in a name or an argument is written twice. Specification 0.6.96, section
 * 3.3 (mods_count, mods_addr).
 *
 * Each module has pages of its own, as high as there is room; the list and the strings are one
 * small block. */
#include "boot/boot_internal.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

struct mb_module {
    uint32_t start, end, string, reserved;
};

/* The list as it will lie in RAM, then the strings; a string's address is an offset at first. */
struct mb_modules {
    struct mb_module *list;
    uint32_t count;
    char *strings;
    size_t strings_size;
};

/* The next piece of `*text`, with double commas made single; the caller frees. NULL: the end. */
static char *next_piece(const char **text)
{
    const char *p = *text;
    if (!p)
        return NULL;
    char *piece = alloc_zero(strlen(p) + 1, 1), *out = piece;
    while (*p && (*p != ',' || p[1] == ',')) {
        p += *p == ',';
        *out++ = *p++;
    }
    *text = *p ? p + 1 : NULL;
    return piece;
}

/* What a program is told: the file's name without this host's folders, and the arguments. */
static void add_string(struct mb_modules *m, const char *path, const char *arguments)
{
    const char *slash = strrchr(path, '/');
    char *s = alloc_printf("%s%s%s", slash ? slash + 1 : path, *arguments ? " " : "", arguments);
    size_t size = strlen(s) + 1;
    m->strings = alloc_resize(m->strings, m->strings_size + size, 1);
    memcpy(m->strings + m->strings_size, s, size);
    m->list[m->count].string = m->strings_size;
    m->strings_size += size;
    free(s);
}

static bool add_module(struct boot_load *b, struct mb_modules *m, char *piece, struct error *err)
{
    struct image image;
    uint64_t addr;
    char *space = strchr(piece, ' ');
    if (space)
        *space = 0;
    if (!*piece)
        return error_set(err,
                         "initrd %s: a module without a file name; write FILE ARGUMENTS,FILE "
                         "ARGUMENTS, and a comma in them twice",
                         b->config->initrd);
    if (!image_open(&image, "module", piece, UINT32_MAX, err))
        return false;
    bool ok =
        layout_place_high(&b->layout, image.size, 4096, UINT32_MAX - 1, "a module", &addr, err) &&
        layout_read(&b->layout, addr, &image, 0, image.size, err);
    if (ok) {
        m->list = alloc_resize(m->list, m->count + 1, sizeof *m->list);
        m->list[m->count] = (struct mb_module){ .start = addr, .end = addr + image.size };
        add_string(m, piece, space ? space + 1 : "");
        m->count++;
    } else {
        error_prefix(err, "module %s: ", piece);
    }
    image_close(&image);
    return ok;
}

/* The list and the strings into RAM. */
static bool put_list(struct boot_load *b, struct mb_modules *m, uint64_t *addr, struct error *err)
{
    uint64_t list_size = m->count * sizeof *m->list;
    if (!layout_place_small(&b->layout, list_size + m->strings_size, "the list of modules", addr,
                            err))
        return false;
    for (uint32_t i = 0; i < m->count; i++)
        m->list[i].string += *addr + list_size;
    return layout_write(&b->layout, *addr, m->list, list_size, err) &&
           layout_write(&b->layout, *addr + list_size, m->strings, m->strings_size, err);
}

bool multiboot_put_modules(struct boot_load *b, uint32_t *count, uint64_t *addr, struct error *err)
{
    struct mb_modules m = { 0 };
    const char *text = b->config->initrd;
    bool ok = true;
    *count = 0;
    *addr = 0;
    for (char *piece; ok && (piece = next_piece(&text)); free(piece))
        ok = add_module(b, &m, piece, err);
    if (ok && m.count) {
        b->report.initrd_addr = m.list[0].start;
        b->report.initrd_size = m.list[0].end - m.list[0].start;
        *count = m.count;
        ok = put_list(b, &m, addr, err);
    }
    free(m.list);
    free(m.strings);
    return ok;
}
