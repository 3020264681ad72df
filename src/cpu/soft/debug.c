/* Debug registers: breakpoints on execution, data and ports, and single-stepping (SDM vol. 3
 * chapter 17.2).
 *
 * Nothing here costs a guest that does not use them. Pages with a watched address never match in
 * the TLB's fast path, and while a breakpoint on execution is armed the loop executes instruction
 * by instruction. */
#include "cpu/soft/soft_cpu.h"

enum { DR7_GD = 1 << 13, DR_EXECUTE = 0, DR_WRITE = 1, DR_IO = 2, DR_READ_WRITE = 3 };

static bool enabled(const struct soft_cpu *c, unsigned n)
{
    return c->dr[7] >> (2 * n) & 3;
}

static unsigned kind(const struct soft_cpu *c, unsigned n)
{
    return c->dr[7] >> (16 + 4 * n) & 3;
}

static unsigned length(const struct soft_cpu *c, unsigned n)
{
    static const uint8_t bytes[] = { 1, 2, 8, 4 };
    return bytes[c->dr[7] >> (18 + 4 * n) & 3];
}

void debug_registers_changed(struct soft_cpu *c)
{
    c->debug_execute = c->debug_data = c->debug_io = false;
    for (unsigned n = 0; n < 4; n++) {
        if (!enabled(c, n))
            continue;
        unsigned k = kind(c, n);
        c->debug_execute |= k == DR_EXECUTE;
        c->debug_data |= k == DR_WRITE || k == DR_READ_WRITE;
        c->debug_io |= k == DR_IO && (c->cr4 & CR4_DE);
    }
    mmu_flush(c);
    soft_recheck(c);
}

bool debug_watches_page(const struct soft_cpu *c, uint64_t va)
{
    for (unsigned n = 0; n < 4; n++) {
        unsigned k = kind(c, n);
        uint64_t first = c->dr[n] & ~(uint64_t)(length(c, n) - 1);
        if (enabled(c, n) && (k == DR_WRITE || k == DR_READ_WRITE) && (first ^ va) >> 12 == 0)
            return true;
    }
    return false;
}

/* Do [a, a + na) and the aligned range of breakpoint `n` meet? */
static bool meets(const struct soft_cpu *c, unsigned n, uint64_t a, unsigned na)
{
    unsigned len = length(c, n);
    uint64_t first = c->dr[n] & ~(uint64_t)(len - 1);
    return a < first + len && first < a + na;
}

void debug_data_access(struct soft_cpu *c, uint64_t va, unsigned size, bool write)
{
    for (unsigned n = 0; n < 4; n++) {
        unsigned k = kind(c, n);
        if (enabled(c, n) && (k == DR_READ_WRITE || (k == DR_WRITE && write)) &&
            meets(c, n, va, size))
            c->debug_hits |= 1u << n;
    }
    if (c->debug_hits)
        soft_recheck(c);
}

void debug_io_access(struct soft_cpu *c, uint16_t port, unsigned size)
{
    for (unsigned n = 0; n < 4; n++)
        if (enabled(c, n) && kind(c, n) == DR_IO && meets(c, n, port, size))
            c->debug_hits |= 1u << n;
    if (c->debug_hits)
        soft_recheck(c);
}

bool debug_execute_hit(struct soft_cpu *c)
{
    uint64_t va = c->rip + c->ea_base[SEG_CS];
    unsigned hits = 0;
    for (unsigned n = 0; n < 4; n++)
        if (enabled(c, n) && kind(c, n) == DR_EXECUTE && c->dr[n] == va)
            hits |= 1u << n;
    if (!hits)
        return false;
    c->dr[6] = (c->dr[6] & ~15ULL) | hits;
    return true;
}

/* #DB is about to be delivered for what c->debug_hits says. */
void debug_take_hits(struct soft_cpu *c)
{
    c->dr[6] = (c->dr[6] & ~15ULL) | c->debug_hits | (c->debug_hits & 15 ? 0 : c->dr[6] & 15);
    c->dr[7] &= ~(uint64_t)DR7_GD;
    c->debug_hits = 0;
}
