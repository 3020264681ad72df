/* Where KASLR put a kernel, told from its memory.
 *
 * A candidate is right when the text "Linux version" stands where linux_banner would then be. Linux
 * moves its image by multiples of 2 MiB (CONFIG_PHYSICAL_ALIGN) within 1 GiB. */
#include "debug/symbols_internal.h"

#include "base/bits.h"

#include <string.h>

struct search {
    struct symbols *symbols;
    unsigned source;
    const struct guest_memory *mem;
    uint64_t banner; /* as linked */
};

static const char banner_text[] = "Linux version ";

static bool is_right(const struct search *f, uint64_t slide)
{
    char found[sizeof banner_text - 1];
    return guest_read(f->mem, f->banner + slide, found, sizeof found) &&
           memcmp(found, banner_text, sizeof found) == 0;
}

/* `addr` is where the running kernel has `name`. */
static bool try_name(const struct search *f, const char *name, uint64_t addr, uint64_t *slide)
{
    uint64_t linked;
    if (!symbols_link_address(f->symbols, f->source, name, &linked))
        return false;
    *slide = addr - linked;
    return is_right(f, *slide);
}

/* A gate of 16 bytes: SDM vol. 3, figure 6-8. */
static bool read_gate(const struct guest_memory *mem, uint64_t idt, unsigned vector,
                      uint64_t *handler)
{
    uint8_t gate[16];
    if (!guest_read(mem, idt + 16 * vector, gate, sizeof gate))
        return false;
    *handler =
        ld_le16(gate) | (uint64_t)ld_le16(gate + 6) << 16 | (uint64_t)ld_le32(gate + 8) << 32;
    return true;
}

static bool try_idt(const struct search *f, uint64_t idt, uint64_t *slide)
{
    static const struct {
        unsigned vector;
        const char *name;
    } handlers[] = {
        { 14, "asm_exc_page_fault" },     { 13, "asm_exc_general_protection" },
        { 6, "asm_exc_invalid_op" },      { 14, "page_fault" }, /* before Linux 5.8 */
        { 0, "early_idt_handler_array" },
    };
    uint64_t handler;
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
        if (read_gate(f->mem, idt, handlers[i].vector, &handler) &&
            try_name(f, handlers[i].name, handler, slide))
            return true;
    return false;
}

static bool try_everywhere(const struct search *f, uint64_t *slide)
{
    uint64_t first = KERNEL_MAP_START + f->banner % KERNEL_MAP_STEP;
    for (uint64_t at = first; at < KERNEL_MAP_END; at += KERNEL_MAP_STEP) {
        *slide = at - f->banner;
        if (is_right(f, *slide))
            return true;
    }
    return false;
}

bool symbols_is_kernel(struct symbols *s, unsigned source)
{
    uint64_t addr;
    return symbols_link_address(s, source, "linux_banner", &addr);
}

bool symbols_find_slide(struct symbols *s, unsigned source, const struct guest_memory *mem,
                        const struct symbols_anchors *anchors, uint64_t *slide, struct error *err)
{
    struct search f = { .symbols = s, .source = source, .mem = mem };
    if (!symbols_link_address(s, source, "linux_banner", &f.banner))
        return error_set(
            err, "no slide: the symbols have no linux_banner, so they are not a Linux kernel's");
    if (anchors && anchors->lstar && try_name(&f, "entry_SYSCALL_64", anchors->lstar, slide))
        return true;
    if (anchors && anchors->idt_base && try_idt(&f, anchors->idt_base, slide))
        return true;
    if (try_everywhere(&f, slide))
        return true;
    return error_set(
        err,
        "no slide: \"Linux version\" is nowhere in 0x%llx-0x%llx where linux_banner could "
        "be: the kernel has not mapped itself yet, or is another one than the symbols'",
        KERNEL_MAP_START, KERNEL_MAP_END - 1);
}
