/* AVX instructions whose elements are accesses of their own: masked loads and stores, and gathers
 * (SDM vol. 2, VMASKMOV, VPMASKMOV, VPGATHERDD and VGATHERQPS). */
#include "cpu/soft/simd.h"

static bool is_chosen(const union vec256 *mask, unsigned n, unsigned size)
{
    return mask->u8[(n + 1) * size - 1] & 0x80;
}

/* Element `n` of the memory operand. */
static int element_address(struct soft_cpu *c, const struct insn *i, unsigned n, bool write,
                           uint64_t *va)
{
    return ea_at(c, i, ea_wrapped(c, i) + n * i->size, i->size, write, va);
}

static int masked_load(struct soft_cpu *c, const struct insn *i, unsigned count,
                       const union vec256 *mask)
{
    union vec256 v = { .u64 = { 0 } };
    int st = 0;
    for (unsigned n = 0; n < count; n++) {
        uint64_t va, element;
        if (!is_chosen(mask, n, i->size))
            continue;
        int s = element_address(c, i, n, false, &va);
        if (s < 0 || (s = load(c, va, i->size, &element)) < 0)
            return s;
        memcpy(v.u8 + n * i->size, &element, i->size);
        st |= s;
    }
    ymm_set(c, i->reg, &v, i->imm & INSN_VEX_L);
    return st;
}

/* Everything is looked at before anything is written. */
static int masked_store(struct soft_cpu *c, const struct insn *i, unsigned count,
                        const union vec256 *mask)
{
    union vec256 v = ymm_get(c, i->reg);
    uint64_t va[8];
    int st = 0;
    for (unsigned n = 0; n < count; n++)
        if (is_chosen(mask, n, i->size)) {
            int s = element_address(c, i, n, true, &va[n]);
            if (s < 0 || (s = mmu_probe_write(c, va[n], i->size)) < 0)
                return s;
        }
    for (unsigned n = 0; n < count; n++)
        if (is_chosen(mask, n, i->size)) {
            int s = store(c, va[n], i->size, ld_le(v.u8 + n * i->size, i->size));
            if (s < 0)
                return s;
            st |= s;
        }
    return st;
}

/* The row's argument: is it a store? */
int op_vmaskmov(struct soft_cpu *c, const struct insn *i)
{
    c->cur = i;
    if (fpu_check_avx(c) < 0)
        return X_FAULT;
    union vec256 mask = ymm_get(c, insn_vvvv(i));
    unsigned count = (i->imm & INSN_VEX_L ? 32 : 16) / i->size;
    return insn_arg(i) ? masked_store(c, i, count, &mask) : masked_load(c, i, count, &mask);
}

/* The index of element `n`, sign-extended. */
static uint64_t gather_index(const union vec256 *v, unsigned n, unsigned size)
{
    return size == 8 ? v->u64[n] : (uint64_t)(int64_t)(int32_t)v->u32[n];
}

/* The row's argument is the size of an index. Elements are loaded in ascending order; those loaded
 * before a fault stay and have no bit in the mask any more, so that the instruction goes on where
 * it was. */
int op_vgather(struct soft_cpu *c, const struct insn *i)
{
    unsigned size = i->size, index_size = insn_arg(i),
             larger = size > index_size ? size : index_size;
    unsigned count = (i->imm & INSN_VEX_L ? 32 : 16) / larger, mask_at = insn_vvvv(i);
    bool wide = count * size == 32;
    struct insn at = *i;
    c->cur = i;
    if (fpu_check_avx(c) < 0)
        return X_FAULT;
    if (i->reg == mask_at || i->reg == i->index || mask_at == i->index)
        return raise_exception(c, VEC_UD);
    union vec256 index = ymm_get(c, i->index), mask = ymm_get(c, mask_at), d = ymm_get(c, i->reg);
    at.index = REG_NONE;
    for (unsigned n = 0; n < count; n++)
        memset(mask.u8 + n * size, is_chosen(&mask, n, size) ? 0xff : 0, size);
    int st = 0, s = 0;
    for (unsigned n = 0; n < count && s >= 0; n++) {
        uint64_t va, element, off = ea_offset(c, &at);
        if (!is_chosen(&mask, n, size))
            continue;
        off = wrap_offset(i, off + (gather_index(&index, n, index_size) << i->scale));
        s = ea_at(c, &at, off, size, false, &va);
        if (s < 0 || (s = load(c, va, size, &element)) < 0)
            break;
        memcpy(d.u8 + n * size, &element, size);
        memset(mask.u8 + n * size, 0, size);
        st |= s;
    }
    memset(d.u8 + count * size, 0, sizeof d - count * size);
    memset(mask.u8 + count * size, 0, sizeof mask - count * size);
    ymm_set(c, i->reg, &d, wide);
    ymm_set(c, mask_at, &mask, wide);
    return s < 0 ? s : st;
}
