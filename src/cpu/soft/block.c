/* Making a block: instructions decoded one after the other, each with the handler that suits it.
 * Where blocks are kept is code_cache.c. */
#include "cpu/soft/block.h"

#include "cpu/soft/coverage.h"

void block_end(struct block *b)
{
    b->insns[b->count] = (struct insn){ .handler = soft_labels->any[OP_block_end],
                                        .op = OP_block_end,
                                        .next_off = (uint8_t)b->bytes,
                                        .base = REG_NONE,
                                        .index = REG_NONE };
}

/* A RIP-relative address becomes relative to the block's start. */
static void fix_rip_relative(struct insn *i)
{
    int64_t disp = (int64_t)i->disp + i->next_off;
    if (disp == (int32_t)disp) {
        i->disp = (int32_t)disp;
    } else {
        /* ea_slow() and op_lea add next_off themselves */
        i->flags |= INSN_EA_SLOW;
        if (i->op == OP_lea_4 || i->op == OP_lea_8) {
            i->op = OP_lea;
            i->handler = soft_labels->any[OP_lea];
        }
    }
}

/* Is its address a register and a displacement, with nothing to add or to check? */
static bool is_plain(const struct insn *i, uint32_t mode)
{
    return mode & MODE_CODE64 && i->flags & INSN_MEM && !(i->flags & INSN_EA_SLOW) &&
           i->index == REG_NONE && i->seg != SEG_FS && i->seg != SEG_GS;
}

/* If the last instruction is a conditional jump, it and the one before may have one handler. Where
 * the block is cut between the two, the first gets its own back: see block_cut(). */
static void fuse(struct block *b)
{
    static const struct {
        uint16_t op, jump;
    } pairs[] = {
#define X(op, jump, cc) { OP_##op, OP_##jump },
        FUSED_PAIRS(X)
#undef X
    };
    struct insn *jump = &b->insns[b->count - 1], *i = jump - 1;
    if (b->count < 2 || jump->op < OP_j_o || jump->op > OP_j_nle)
        return;
    if (i->handler != soft_labels->any[i->op] || jump->handler != soft_labels->any[jump->op])
        return; /* one of them is a point */
    for (unsigned n = 0; n < FUSED_COUNT; n++)
        if (pairs[n].op == i->op && pairs[n].jump == jump->op)
            i->handler = soft_labels->fused[n];
}

enum flags_effect { READS_OR_STOPS, WRITES_ALL, WRITES_UNLESS_BY_0, WRITES_BUT_CF, LEAVES_ALONE };

static enum flags_effect flags_effect(const struct insn *i)
{
    static const uint8_t effects[OP_COUNT] = {
#define X(op) [OP_##op] = WRITES_ALL,
        FLAGS_ALL_OPS(X)
#undef X
#define X(op) [OP_##op] = WRITES_UNLESS_BY_0,
            FLAGS_SHIFT_OPS(X)
#undef X
#define X(op) [OP_##op] = WRITES_BUT_CF,
                FLAGS_BUT_CF_OPS(X)
#undef X
#define X(op) [OP_##op] = LEAVES_ALONE,
                    FLAGS_NO_OPS(X)
#undef X
    };
    enum flags_effect effect = effects[i->op];
    if (i->handler == soft_labels->any[OP_point])
        return READS_OR_STOPS;
    if (effect == WRITES_UNLESS_BY_0) /* 32 of 64 bits is left out as well */
        return i->imm & 31 ? WRITES_ALL : READS_OR_STOPS;
    return effect;
}

/* If the last instruction writes all flags, nobody sees those of the ones before it, up to one that
 * reads them, or in which the block can be left. Where it is cut they get their handlers back: see
 * block_cut(). */
static void drop_dead_flags(struct block *b)
{
    struct insn *i = &b->insns[b->count - 1];
    if (flags_effect(i) != WRITES_ALL)
        return;
    while (i > b->insns) {
        enum flags_effect effect = flags_effect(--i);
        if (effect == READS_OR_STOPS)
            return;
        if (soft_labels->dead[i->op])
            i->handler = soft_labels->dead[i->op];
        if (effect == WRITES_ALL)
            return; /* before it this has been done */
    }
}

void block_append(const struct soft_cpu *c, struct block *b, struct insn *i)
{
    bool point = false;
    if (UNLIKELY(b->points) && watch_is_point(c, b->points - 1 + b->page_off + b->bytes))
        i->handler = soft_labels->any[OP_point], point = true;
    b->bytes += i->len;
    i->next_off = (uint8_t)b->bytes;
    if (i->flags & INSN_MEM && i->base == REG_RIP && insn_asize(i) == 8)
        fix_rip_relative(i);
    else if (i->base == REG_RIP)
        i->disp = (int32_t)((uint32_t)i->disp + i->next_off);
    if (!point && is_plain(i, b->mode) && soft_labels->plain[i->op])
        i->handler = soft_labels->plain[i->op];
    b->insns[b->count++] = *i;
    fuse(b);
    drop_dead_flags(b);
}

void block_note_row(const struct soft_cpu *c, const uint8_t *code, unsigned avail, int len)
{
    if (UNLIKELY(c->accel->coverage) && len > 0)
        opcode_coverage_note(c->accel->coverage, code, avail, c->mode, c->isa);
}

unsigned block_decode(struct soft_cpu *c, const uint8_t *code, unsigned avail, struct block *b)
{
    unsigned depends = 0;
    bool ends = false;
    while (!ends && b->count < BLOCK_INSNS_MAX && b->bytes < BLOCK_BYTES_MAX) {
        struct insn i;
        const uint8_t *at = code + b->bytes;
        unsigned left = avail - b->bytes;
        int len = soft_decode(at, left, c->mode, c->isa, &i, &ends);
        if (len == 0)
            break;
        depends = b->bytes + bytes_decoded(len, left);
        block_note_row(c, at, left, len);
        block_append(c, b, &i);
    }
    block_end(b);
    return depends;
}

void block_cut(struct block *to, const struct block *from, unsigned count)
{
    if (to != from)
        memcpy(to, from, block_bytes(count));
    to->next = to->fallthrough = to->taken = NULL;
    to->ram_page = BLOCK_SCRATCH;
    to->count = (uint16_t)count;
    to->bytes = from->insns[count - 1].next_off;
    /* Not with a jump that is not there any more, nor without flags that can be seen now. */
    for (struct insn *i = to->insns; i < &to->insns[count]; i++)
        if (!(i->flags & INSN_MEM) && i->handler != soft_labels->any[OP_point])
            i->handler = soft_labels->any[i->op];
    block_end(to);
}
