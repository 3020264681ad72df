/* Exceptions and interrupts: raising, delivery through the IDT, double and triple faults.
 *
 * SDM vol. 3 chapter 6. A handler raises by storing into c->exc and returning X_FAULT; the loop
 * delivers when c->rip is the faulting instruction. Delivery is all or nothing: state changes after
 * the last store that can fault. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

enum { GATE_TASK = 5, GATE_INT16 = 6, GATE_TRAP16 = 7, GATE_INT = 14, GATE_TRAP = 15 };

int raise_exception(struct soft_cpu *c, int vector)
{
    c->exc.vector = vector;
    c->exc.has_error = false;
    c->exc.error = 0;
    return X_FAULT;
}

int raise_error(struct soft_cpu *c, int vector, uint32_t error)
{
    c->exc.vector = vector;
    c->exc.has_error = true;
    c->exc.error = error;
    return X_FAULT;
}

int raise_stack_fault(struct soft_cpu *c)
{
    if (c->exc.vector == VEC_GP)
        c->exc.vector = VEC_SS;
    return X_FAULT;
}

int raise_page_fault(struct soft_cpu *c, uint64_t va, uint32_t error)
{
    c->cr2 = va;
    return raise_error(c, VEC_PF, error);
}

/* ---- delivery ---- */

struct idt_gate {
    uint16_t sel;
    uint64_t offset;
    unsigned size; /* of what is pushed */
    unsigned ist;
    bool interrupt; /* clears IF */
    bool task;      /* `sel` is a TSS; the rest does not count */
    uint64_t desc;  /* of the handler's code segment */
};

static uint32_t idt_error(int vector)
{
    return (uint32_t)vector << 3 | 2;
}

static int read_idt(struct soft_cpu *c, int vector, enum int_kind kind, struct idt_gate *g)
{
    unsigned entry = long_mode(c) ? 16 : 8;
    uint64_t lo, hi = 0;
    uint32_t error = idt_error(vector);
    if ((unsigned)vector * entry + entry - 1 > c->idt.limit)
        return raise_error(c, VEC_GP, error);
    uint64_t at = c->idt.base + (unsigned)vector * entry;
    int st = load_sys(c, at, 8, &lo);
    if (st >= 0 && entry == 16)
        st = load_sys(c, at + 8, 8, &hi);
    if (st < 0)
        return st;
    unsigned type = lo >> 40 & 31, dpl = lo >> 45 & 3;
    bool wide = type == GATE_INT || type == GATE_TRAP;
    bool narrow = (type == GATE_INT16 || type == GATE_TRAP16) && !long_mode(c);
    bool task = type == GATE_TASK && !long_mode(c);
    if ((!wide && !narrow && !task) || (kind == INT_SOFTWARE && dpl < c->cpl))
        return raise_error(c, VEC_GP, error);
    if (!(lo >> 47 & 1))
        return raise_error(c, VEC_NP, error);
    *g = (struct idt_gate){ .sel = (uint16_t)(lo >> 16),
                            .offset =
                                (lo & 0xffff) | (narrow ? 0 : lo >> 32 & 0xffff0000) | hi << 32,
                            .size = long_mode(c) ? 8
                                    : wide       ? 4
                                                 : 2,
                            .ist = long_mode(c) ? lo >> 32 & 7 : 0,
                            .interrupt = !(type & 1),
                            .task = task };
    if (task)
        return 0;
    if (!(g->sel & 0xfffc))
        return raise_error(c, VEC_GP, 0);
    if ((st = read_descriptor(c, g->sel, &g->desc, VEC_GP)))
        return st;
    unsigned a = g->desc >> 40 & 0xf0ff;
    if (!(a & ATTR_S) || !(a & ATTR_CODE) || attr_dpl(a) > c->cpl ||
        (long_mode(c) && (!(a & ATTR_L) || (a & ATTR_DB))))
        return raise_error(c, VEC_GP, g->sel & 0xfffc);
    return a & ATTR_P ? 0 : raise_error(c, VEC_NP, g->sel & 0xfffc);
}

/* The stack that the handler gets, and whether it is another one. */
struct new_stack {
    struct segment ss;
    uint64_t sp;
    bool switched;
};

static int find_stack(struct soft_cpu *c, const struct idt_gate *g, unsigned pl,
                      struct new_stack *s)
{
    *s = (struct new_stack){ .ss = c->seg[SEG_SS], .sp = c->r[RSP] };
    int st;
    if (long_mode(c)) {
        uint16_t ss;
        if (g->ist) {
            unsigned off = 0x24 + 8 * (g->ist - 1);
            if (off + 7 > c->tr.limit)
                return raise_error(c, VEC_TS, c->tr.sel & 0xfffc);
            if ((st = load_sys(c, c->tr.base + off, 8, &s->sp)) < 0)
                return st;
        } else if (pl < c->cpl) {
            if ((st = tss_stack(c, pl, &ss, &s->sp)))
                return st;
        }
        s->switched = pl < c->cpl;
        if (s->switched)
            s->ss =
                (struct segment){ .sel = (uint16_t)pl, .attr = (uint16_t)(pl << ATTR_DPL_SHIFT) };
        s->sp &= ~15ULL;
        return 0;
    }
    if (pl == c->cpl && !(c->eflags & FLAG_VM))
        return 0;
    uint16_t sel;
    uint64_t desc;
    if ((st = tss_stack(c, pl, &sel, &s->sp)))
        return st;
    if (!(sel & 0xfffc))
        return raise_error(c, VEC_TS, 0);
    if ((st = read_descriptor(c, sel, &desc, VEC_TS)))
        return st;
    segment_from_descriptor(&s->ss, sel, desc);
    unsigned a = s->ss.attr;
    if (!(a & ATTR_S) || (a & ATTR_CODE) || !(a & ATTR_RW) || attr_dpl(a) != pl || (sel & 3u) != pl)
        return raise_error(c, VEC_TS, sel & 0xfffc);
    if (!(a & ATTR_P))
        return raise_error(c, VEC_SS, sel & 0xfffc);
    s->switched = true;
    return 0;
}

/* Push onto the handler's stack, which has the room, with the rights of the level that it runs at.
 */
static int push_frame(struct soft_cpu *c, struct new_stack *s, unsigned size, unsigned pl,
                      const uint64_t *values, unsigned n)
{
    uint64_t mask = long_mode(c) ? UINT64_MAX : s->ss.attr & ATTR_DB ? 0xffffffff : 0xffff;
    for (unsigned k = 0; k < n; k++) {
        uint64_t sp = (s->sp - size) & mask;
        uint64_t va = long_mode(c) ? sp : (uint32_t)(sp + s->ss.base);
        int st = pl == 3 ? store(c, va, size, values[k]) : store_sys(c, va, size, values[k]);
        if (st < 0)
            return st;
        s->sp = (s->sp & ~mask) | sp;
    }
    return 0;
}

/* RF in the image makes the return not trip over the same instruction breakpoint again: from a
 * fault, and from what came between two rounds of a rep (SDM vol. 3 17.3.1.1). The delivery has
 * been counted already. */
static uint64_t flags_image(const struct soft_cpu *c, int vector, enum int_kind kind)
{
    bool fault = kind == INT_EXCEPTION && vector != VEC_DB && vector != VEC_BP && vector != VEC_OF;
    bool amid = kind != INT_SOFTWARE && c->icount == c->repeat_at + 1;
    return eflags_get(c) | (fault || amid ? FLAG_RF : 0);
}

/* Does the gate lead to code? SDM vol. 2, INT n: the stack's room is looked at first. */
static int check_entry(struct soft_cpu *c, const struct idt_gate *g, const struct new_stack *s,
                       unsigned pushed)
{
    struct segment cs;
    uint32_t error = s->switched && !long_mode(c) ? s->ss.sel & 0xfffc : 0;
    int st = check_stack_room(c, &s->ss, s->sp, long_mode(c), g->size, pushed, error);
    if (st)
        return st;
    segment_from_descriptor(&cs, 0, g->desc);
    bool ok = long_mode(c) ? is_canonical(g->offset) : g->offset <= cs.limit;
    return ok ? 0 : raise_error(c, VEC_GP, 0);
}

static int deliver_by_gate(struct soft_cpu *c, int vector, enum int_kind kind, bool has_error,
                           uint32_t error, uint64_t rip)
{
    struct idt_gate g;
    struct new_stack s;
    int st = read_idt(c, vector, kind, &g);
    if (st)
        return st;
    if (g.task)
        return task_switch(c, &(struct task_request){ .sel = g.sel,
                                                      .by = TASK_INTERRUPT,
                                                      .next = rip,
                                                      .flags = flags_image(c, vector, kind),
                                                      .has_error = has_error,
                                                      .error = error });
    unsigned a = g.desc >> 40 & 0xf0ff;
    bool v86 = c->eflags & FLAG_VM;
    unsigned pl = a & ATTR_CE ? c->cpl : attr_dpl(a);
    if (v86 && pl != 0)
        return raise_error(c, VEC_GP, g.sel & 0xfffc);
    if ((st = find_stack(c, &g, pl, &s)))
        return st;
    bool long64 = long_mode(c);
    uint64_t frame[10];
    unsigned n = 0;
    if (v86) {
        static const uint8_t order[] = { SEG_GS, SEG_FS, SEG_DS, SEG_ES };
        for (unsigned k = 0; k < 4; k++)
            frame[n++] = c->seg[order[k]].sel;
    }
    if (s.switched || long64) {
        frame[n++] = c->seg[SEG_SS].sel;
        frame[n++] = c->r[RSP];
    }
    frame[n++] = flags_image(c, vector, kind);
    frame[n++] = c->seg[SEG_CS].sel;
    frame[n++] = rip;
    if (has_error)
        frame[n++] = error;
    if ((st = check_entry(c, &g, &s, n)) || (st = push_frame(c, &s, g.size, pl, frame, n)))
        return st;

    if (v86)
        for (unsigned k = 0; k < SEG_COUNT; k++)
            if (k != SEG_CS && k != SEG_SS)
                c->seg[k] = (struct segment){ 0 };
    if (s.switched)
        c->seg[SEG_SS] = s.ss;
    c->r[RSP] = s.sp;
    c->cpl = pl;
    segment_from_descriptor(&c->seg[SEG_CS], (uint16_t)((g.sel & 0xfffc) | pl), g.desc);
    c->rip = g.offset;
    c->eflags &= ~(uint64_t)(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM);
    if (g.interrupt)
        c->eflags &= ~(uint64_t)FLAG_IF;
    update_mode(c);
    return X_JUMP;
}

/* Error codes say with EXT that it was not the program which asked for the event: SDM vol. 3 6.13.
 */
static int deliver_protected(struct soft_cpu *c, int vector, enum int_kind kind, bool has_error,
                             uint32_t error, uint64_t rip)
{
    int st = deliver_by_gate(c, vector, kind, has_error, error, rip);
    bool selector = c->exc.vector >= VEC_TS && c->exc.vector <= VEC_GP;
    if (st < 0 && kind != INT_SOFTWARE && (selector || c->exc.vector == VEC_AC))
        c->exc.error |= 1;
    return st;
}

static int deliver_real(struct soft_cpu *c, int vector, uint64_t rip)
{
    uint64_t entry;
    if ((unsigned)vector * 4 + 3 > c->idt.limit)
        return raise_error(c, VEC_GP, idt_error(vector));
    int st = load_sys(c, c->idt.base + (unsigned)vector * 4, 4, &entry);
    uint64_t sp = c->r[RSP];
    if (st >= 0)
        st = push(c, 2, eflags_get(c));
    if (st >= 0)
        st = push(c, 2, c->seg[SEG_CS].sel);
    if (st >= 0)
        st = push(c, 2, rip);
    if (st < 0) {
        c->r[RSP] = sp;
        return st;
    }
    c->eflags &= ~(uint64_t)(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
    set_real_segment(c, SEG_CS, (uint16_t)(entry >> 16));
    c->rip = (uint16_t)entry;
    return X_JUMP;
}

int deliver_vector(struct soft_cpu *c, int vector, enum int_kind kind, bool has_error,
                   uint32_t error, uint64_t rip)
{
    c->cur = NULL;
    if (!protected_mode(c))
        return deliver_real(c, vector, rip);
    return deliver_protected(c, vector, kind, has_error, error, rip);
}

/* The bitmap of 32 bytes below that of ports: a clear bit redirects. */
static int is_redirected(struct soft_cpu *c, unsigned n, bool *yes)
{
    uint64_t map, bits;
    *yes = false;
    if (!(c->cr4 & CR4_VME))
        return 0;
    if ((c->tr.attr & ATTR_TYPE) < 9 || c->tr.limit < 103)
        return raise_error(c, VEC_GP, 0);
    int st = load_sys(c, c->tr.base + 102, 2, &map);
    if (st < 0)
        return st;
    uint64_t at = map - 32 + n / 8;
    if (map < 32 || at > c->tr.limit)
        return raise_error(c, VEC_GP, 0);
    if ((st = load_sys(c, c->tr.base + at, 1, &bits)) < 0)
        return st;
    *yes = !(bits >> (n & 7) & 1);
    return 0;
}

int v86_interrupt(struct soft_cpu *c, unsigned n, uint64_t next)
{
    bool redirected, trusted = (c->eflags & FLAG_IOPL) == FLAG_IOPL;
    uint64_t entry, sp = c->r[RSP], flags = eflags_get(c);
    int st = is_redirected(c, n, &redirected);
    if (st)
        return st;
    if (!redirected)
        return trusted ? 0 : raise_error(c, VEC_GP, 0);
    if ((st = load(c, n * 4, 4, &entry)) < 0)
        return st;
    st = push(c, 2, trusted ? flags : v86_flags(flags));
    if (st >= 0)
        st = push(c, 2, c->seg[SEG_CS].sel);
    if (st >= 0)
        st = push(c, 2, next);
    if (st < 0) {
        c->r[RSP] = sp;
        return st;
    }
    c->eflags &= ~(uint64_t)(FLAG_TF | (trusted ? FLAG_IF : FLAG_VIF));
    set_real_segment(c, SEG_CS, (uint16_t)(entry >> 16));
    c->rip = (uint16_t)entry;
    return X_JUMP;
}

static bool contributory(int vector)
{
    return vector == VEC_DE || (vector >= VEC_TS && vector <= VEC_GP);
}

/* Does `second`, raised while `first` was being delivered, make a double fault? SDM vol. 3 table
 * 6-5. */
static bool makes_double_fault(int first, int second)
{
    return (contributory(first) && contributory(second)) ||
           (first == VEC_PF && (second == VEC_PF || contributory(second)));
}

bool deliver_exception(struct soft_cpu *c)
{
    int first = -1;
    for (;;) {
        int vector = c->exc.vector;
        if (first == VEC_DF)
            return false;
        if (first >= 0 && makes_double_fault(first, vector)) {
            vector = VEC_DF;
            c->exc.has_error = true;
            c->exc.error = 0;
        }
        first = vector;
        uint32_t error = c->exc.error;
        /* Real mode pushes no error codes; deliver_vector knows. */
        if (deliver_vector(c, vector, INT_EXCEPTION, c->exc.has_error, error, c->rip) == X_JUMP)
            return true;
    }
}
