/* The x87 environment in memory: FNSTENV, FLDENV, FNSAVE, FRSTOR, FNINIT (SDM vol. 1 8.1.10,
 * figures 8-9 to 8-12). */
#include "cpu/soft/x87_internal.h"

/* The layouts: seven words of the operand size. In real and virtual-8086 mode the pointers are
 * linear addresses, split so that the upper part shares a word with the opcode. */
enum { ENV_CW, ENV_SW, ENV_TAGS, ENV_IP, ENV_CS, ENV_DP, ENV_DS, ENV_WORDS };
enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

struct env {
    uint32_t w[ENV_WORDS];
};

static unsigned word_size(const struct insn *i)
{
    return i->size == 2 ? 2 : 4;
}

static bool has_selectors(const struct soft_cpu *c)
{
    return protected_mode(c) && !(c->eflags & FLAG_VM);
}

static unsigned full_tag(const struct soft_cpu *c, unsigned n)
{
    uint64_t mant = c->fpu.r[n].mant;
    unsigned exponent = c->fpu.r[n].se & 0x7fff;
    if (!(c->fpu.tags >> n & 1))
        return TAG_EMPTY;
    if (exponent == 0)
        return mant ? TAG_SPECIAL : TAG_ZERO;
    return exponent == 0x7fff || !(mant >> 63) ? TAG_SPECIAL : TAG_VALID;
}

static uint16_t full_tags(const struct soft_cpu *c)
{
    unsigned tags = 0;
    for (unsigned n = 0; n < 8; n++)
        tags |= full_tag(c, n) << 2 * n;
    return (uint16_t)tags;
}

static struct env env_get(const struct soft_cpu *c, unsigned size)
{
    const struct x87 *f = &c->fpu;
    struct env e = { { f->cw, f->sw, full_tags(c) } };
    if (has_selectors(c)) {
        e.w[ENV_IP] = (uint32_t)f->ip;
        e.w[ENV_CS] = f->cs | (uint32_t)f->opcode << 16;
        e.w[ENV_DP] = (uint32_t)f->dp;
        e.w[ENV_DS] = f->ds;
    } else {
        uint32_t ip = (uint32_t)f->ip + ((uint32_t)f->cs << 4);
        uint32_t dp = (uint32_t)f->dp + ((uint32_t)f->ds << 4);
        e.w[ENV_IP] = ip & 0xffff;
        e.w[ENV_CS] = (ip >> 16) << 12 | f->opcode;
        e.w[ENV_DP] = dp & 0xffff;
        e.w[ENV_DS] = (dp >> 16) << 12;
    }
    /* The upper halves that hold nothing read as ones. */
    if (size == 4) {
        static const uint8_t halves[] = { ENV_CW, ENV_SW, ENV_TAGS, ENV_DS };
        for (unsigned k = 0; k < (has_selectors(c) ? 4 : 3); k++)
            e.w[halves[k]] |= 0xffff0000;
        if (!has_selectors(c)) {
            e.w[ENV_IP] |= 0xffff0000;
            e.w[ENV_DP] |= 0xffff0000;
        }
    }
    return e;
}

static void env_set(struct soft_cpu *c, const struct env *e, unsigned size)
{
    struct x87 *f = &c->fpu;
    f->sw = (uint16_t)e->w[ENV_SW];
    fpu_set_cw(c, (uint16_t)e->w[ENV_CW]);
    f->tags = 0;
    for (unsigned n = 0; n < 8; n++)
        if ((e->w[ENV_TAGS] >> 2 * n & 3) != TAG_EMPTY)
            f->tags |= (uint8_t)(1u << n);
    if (has_selectors(c)) {
        f->ip = e->w[ENV_IP];
        f->cs = (uint16_t)e->w[ENV_CS];
        f->opcode = size == 4 ? e->w[ENV_CS] >> 16 & 0x7ff : 0;
        f->dp = e->w[ENV_DP];
        f->ds = (uint16_t)e->w[ENV_DS];
    } else {
        f->cs = f->ds = 0;
        f->opcode = e->w[ENV_CS] & 0x7ff;
        f->ip = (e->w[ENV_IP] & 0xffff) | (uint64_t)(e->w[ENV_CS] >> 12 & 0xffff) << 16;
        f->dp = (e->w[ENV_DP] & 0xffff) | (uint64_t)(e->w[ENV_DS] >> 12 & 0xffff) << 16;
    }
}

static unsigned env_pack(const struct env *e, unsigned size, uint8_t *to)
{
    for (unsigned k = 0; k < ENV_WORDS; k++)
        st_le(to + k * size, size, e->w[k]);
    return ENV_WORDS * size;
}

static void env_unpack(struct env *e, unsigned size, const uint8_t *from)
{
    for (unsigned k = 0; k < ENV_WORDS; k++)
        e->w[k] = (uint32_t)ld_le(from + k * size, size);
}

static int store_at_operand(struct soft_cpu *c, const struct insn *i, const uint8_t *from,
                            unsigned len)
{
    uint64_t va;
    int st = ea(c, i, len, true, &va);
    return st ? st : fpu_store_bytes(c, va, from, len);
}

static int load_from_operand(struct soft_cpu *c, const struct insn *i, uint8_t *to, unsigned len)
{
    uint64_t va;
    int st = ea(c, i, len, false, &va);
    return st ? st : fpu_load_bytes(c, va, to, len);
}

/* The registers' contents stay; they are only marked empty. */
void x87_init(struct soft_cpu *c)
{
    c->fpu.cw = FCW_INIT;
    c->fpu.sw = 0;
    c->fpu.tags = 0;
    c->fpu.opcode = c->fpu.cs = c->fpu.ds = 0;
    c->fpu.ip = c->fpu.dp = 0;
}

int x87_fnstenv(struct soft_cpu *c, const struct insn *i)
{
    uint8_t image[ENV_WORDS * 4];
    struct env e = env_get(c, word_size(i));
    unsigned len = env_pack(&e, word_size(i), image);
    int st = store_at_operand(c, i, image, len);
    if (st >= 0)
        fpu_set_cw(c, c->fpu.cw | FSW_EXCEPTIONS);
    return st;
}

int x87_fldenv(struct soft_cpu *c, const struct insn *i)
{
    uint8_t image[ENV_WORDS * 4];
    struct env e;
    int st = load_from_operand(c, i, image, ENV_WORDS * word_size(i));
    if (st < 0)
        return st;
    env_unpack(&e, word_size(i), image);
    env_set(c, &e, word_size(i));
    return st;
}

/* The registers follow the environment, ST(0) first, 10 bytes each. */
int x87_fnsave(struct soft_cpu *c, const struct insn *i)
{
    uint8_t image[ENV_WORDS * 4 + 80];
    struct env e = env_get(c, word_size(i));
    unsigned len = env_pack(&e, word_size(i), image);
    for (unsigned k = 0; k < 8; k++, len += 10)
        memcpy(image + len, &c->fpu.r[(fpu_top(c) + k) & 7], 10);
    int st = store_at_operand(c, i, image, len);
    if (st >= 0)
        x87_init(c);
    return st;
}

int x87_frstor(struct soft_cpu *c, const struct insn *i)
{
    uint8_t image[ENV_WORDS * 4 + 80];
    struct env e;
    unsigned at = ENV_WORDS * word_size(i);
    int st = load_from_operand(c, i, image, at + 80);
    if (st < 0)
        return st;
    env_unpack(&e, word_size(i), image);
    env_set(c, &e, word_size(i));
    for (unsigned k = 0; k < 8; k++, at += 10)
        memcpy(&c->fpu.r[(fpu_top(c) + k) & 7], image + at, 10);
    return st;
}
