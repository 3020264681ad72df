/* Hardware task switches: by far JMP and CALL, by interrupts through task gates, and by IRET out of
 * nested tasks (SDM vol. 3 chapter 8).
 *
 * Everything that the old task can be blamed for is looked at before anything changes: the
 * descriptor of the new task's TSS, and that both can be accessed. What is wrong with the new
 * task's segments is its own fault, at its first instruction. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

enum { TSS_LINK = 0, TSS_CR3 = 28, TSS_DEBUG = 100, TYPE_BUSY = 2, TYPE_WIDE = 8 };
enum { DR7_LOCAL = 0x155 }; /* L0 to L3, and LE */

/* Where things lie in a TSS of 16 bits and in one of 32: figures 8-10 and 8-2. General registers
 * and segments follow each other in the order of their numbers. */
struct layout {
    uint8_t word, limit, ip, flags, general, segments, segment_count, ldt;
};
static const struct layout layouts[] = {
    { 2, 43, 14, 16, 18, 34, 4, 42 },
    { 4, 103, 32, 36, 40, 72, 6, 96 },
};

static const struct layout *layout_of(const struct segment *tss)
{
    return &layouts[(tss->attr & TYPE_WIDE) != 0];
}

/* What a TSS holds. */
struct task {
    uint64_t ip, flags, cr3, r[8];
    uint16_t sel[SEG_COUNT], ldt;
    bool trap;
};

/* The new TSS, and the address of its descriptor. */
static int find_tss(struct soft_cpu *c, const struct task_request *q, struct segment *tss,
                    uint64_t *at)
{
    bool back = q->by == TASK_RETURN;
    int vector = back ? VEC_TS : VEC_GP;
    uint64_t desc;
    if (q->sel & 4 || !(q->sel & 0xfffc) || descriptor_address(c, q->sel, 8, at))
        return raise_error(c, vector, q->sel & 0xfffc);
    int st = load_sys(c, *at, 8, &desc);
    if (st < 0)
        return st;
    unsigned a = desc_attr(desc);
    if ((a & 31 & ~(unsigned)TYPE_WIDE) != (back ? 1 | TYPE_BUSY : 1))
        return raise_error(c, vector, q->sel & 0xfffc);
    if (!(a & ATTR_P))
        return raise_error(c, VEC_NP, q->sel & 0xfffc);
    segment_from_descriptor(tss, q->sel, desc);
    if (tss->limit < layout_of(tss)->limit)
        return raise_error(c, VEC_TS, q->sel & 0xfffc);
    return 0;
}

static int read_task(struct soft_cpu *c, const struct segment *tss, struct task *t)
{
    const struct layout *l = layout_of(tss);
    bool wide = l->word == 4;
    uint64_t base = tss->base, v = 0;
    int st = load_sys(c, base + l->ip, l->word, &t->ip);
    if (st >= 0)
        st = load_sys(c, base + l->flags, l->word, &t->flags);
    for (unsigned n = 0; n < 8 && st >= 0; n++) {
        st = load_sys(c, base + l->general + n * l->word, l->word, &t->r[n]);
        t->r[n] |= wide ? 0 : 0xffff0000; /* not said by the manual */
    }
    for (unsigned n = 0; n < SEG_COUNT && st >= 0; n++) {
        if (n < l->segment_count)
            st = load_sys(c, base + l->segments + n * l->word, 2, &v);
        t->sel[n] = n < l->segment_count ? (uint16_t)v : 0;
    }
    if (st >= 0)
        st = load_sys(c, base + l->ldt, 2, &v);
    t->ldt = (uint16_t)v;
    t->cr3 = c->cr3;
    t->trap = false;
    if (wide && st >= 0)
        st = load_sys(c, base + TSS_CR3, 4, &t->cr3);
    if (wide && st >= 0)
        st = load_sys(c, base + TSS_DEBUG, 1, &v);
    t->trap = wide && (v & 1);
    return st < 0 ? st : 0;
}

/* Into the present TSS. The caller has seen that it can be written. */
static void save_task(struct soft_cpu *c, const struct task_request *q)
{
    const struct layout *l = layout_of(&c->tr);
    uint64_t base = c->tr.base;
    uint64_t flags = q->by == TASK_RETURN ? q->flags & ~(uint64_t)FLAG_NT : q->flags;
    store_sys(c, base + l->ip, l->word, q->next);
    store_sys(c, base + l->flags, l->word, flags);
    for (unsigned n = 0; n < 8; n++)
        store_sys(c, base + l->general + n * l->word, l->word, c->r[n]);
    for (unsigned n = 0; n < l->segment_count; n++)
        store_sys(c, base + l->segments + n * l->word, 2, c->seg[n].sel);
}

static void set_busy(struct soft_cpu *c, uint64_t desc_at, bool busy)
{
    uint64_t type;
    load_sys(c, desc_at + 5, 1, &type);
    store_sys(c, desc_at + 5, 1, busy ? type | TYPE_BUSY : type & ~(uint64_t)TYPE_BUSY);
}

/* ---- what the new task is to blame for ---- */

static int load_task_ldt(struct soft_cpu *c, uint16_t sel)
{
    uint64_t desc, at;
    c->ldt = (struct segment){ .sel = sel };
    if (!(sel & 0xfffc))
        return 0;
    if (sel & 4 || descriptor_address(c, sel, 8, &at))
        return raise_error(c, VEC_TS, sel & 0xfffc);
    int st = load_sys(c, at, 8, &desc);
    if (st < 0)
        return st;
    if ((desc_attr(desc) & 0x9f) != (ATTR_P | 2))
        return raise_error(c, VEC_TS, sel & 0xfffc);
    segment_from_descriptor(&c->ldt, sel, desc);
    return 0;
}

static int load_task_code(struct soft_cpu *c, uint16_t sel)
{
    uint64_t desc;
    unsigned rpl = sel & 3;
    if (!(sel & 0xfffc))
        return raise_error(c, VEC_TS, 0);
    int st = read_descriptor(c, sel, &desc, VEC_TS);
    if (st)
        return st;
    unsigned a = desc_attr(desc);
    bool level = a & ATTR_CE ? attr_dpl(a) <= rpl : attr_dpl(a) == rpl;
    if (!(a & ATTR_S) || !(a & ATTR_CODE) || !level)
        return raise_error(c, VEC_TS, sel & 0xfffc);
    if (!(a & ATTR_P))
        return raise_error(c, VEC_NP, sel & 0xfffc);
    if ((st = mark_accessed(c, sel, &desc)))
        return st;
    segment_from_descriptor(&c->seg[SEG_CS], sel, desc);
    return 0;
}

static int load_task_segments(struct soft_cpu *c, const struct task *t)
{
    static const uint8_t data[] = { SEG_DS, SEG_ES, SEG_FS, SEG_GS };
    uint64_t desc;
    int st = load_task_ldt(c, t->ldt);
    if (c->eflags & FLAG_VM) {
        for (unsigned n = 0; n < SEG_COUNT; n++)
            set_real_segment(c, n, t->sel[n]);
        return st;
    }
    if (st || (st = load_task_code(c, t->sel[SEG_CS])) ||
        (st = check_stack_segment(c, t->sel[SEG_SS], c->cpl, VEC_TS, false, &desc)) ||
        (st = put_stack_segment(c, t->sel[SEG_SS], c->cpl, desc)))
        return st;
    update_mode(c);
    for (unsigned n = 0; n < ARRAY_LEN(data); n++)
        if ((st = load_segment(c, data[n], t->sel[data[n]]))) {
            if (c->exc.vector == VEC_GP)
                c->exc.vector = VEC_TS;
            return st;
        }
    return 0;
}

/* Make `t` the present task, but for what hides behind selectors. */
static void enter_task(struct soft_cpu *c, const struct task *t, bool nested)
{
    eflags_set(c, (t->flags & 0x3f7fd7) | (nested ? FLAG_NT : 0));
    for (unsigned n = 0; n < 8; n++)
        c->r[n] = (uint32_t)t->r[n];
    c->rip = (uint32_t)t->ip;
    c->cpl = c->eflags & FLAG_VM ? 3 : t->sel[SEG_CS] & 3;
    for (unsigned n = 0; n < SEG_COUNT; n++)
        c->seg[n] = (struct segment){ .sel = t->sel[n] };
    c->cr0 |= CR0_TS;
    if (c->dr[7] & DR7_LOCAL) {
        c->dr[7] &= ~(uint64_t)DR7_LOCAL;
        debug_registers_changed(c);
    }
    update_mode(c);
    soft_recheck(c);
}

static int start_task(struct soft_cpu *c, const struct task_request *q, const struct task *t)
{
    int st = 0;
    if ((c->cr0 & CR0_PG) && layout_of(&c->tr)->word == 4)
        st = write_cr3(c, t->cr3);
    if (!st)
        st = load_task_segments(c, t);
    update_mode(c);
    if (!st && q->has_error)
        st = push(c, layout_of(&c->tr)->word, q->error);
    return st < 0 ? X_FAULT_AFTER : 0;
}

int task_switch(struct soft_cpu *c, const struct task_request *q)
{
    struct segment tss;
    struct task t;
    uint64_t new_at, old_at = 0;
    bool nested = q->by == TASK_CALL || q->by == TASK_INTERRUPT;
    bool leaves = !nested; /* the old task is not busy afterwards */
    int st = find_tss(c, q, &tss, &new_at);
    if (st || (st = read_task(c, &tss, &t)))
        return st;
    if (c->tr.limit < layout_of(&c->tr)->limit ||
        (leaves && descriptor_address(c, c->tr.sel & 0xfff8, 8, &old_at)))
        return raise_error(c, VEC_TS, c->tr.sel & 0xfffc);
    if ((st = mmu_probe_system(c, c->tr.base, layout_of(&c->tr)->limit + 1u)) ||
        (leaves && (st = mmu_probe_system(c, old_at + 5, 1))) ||
        (q->by != TASK_RETURN && (st = mmu_probe_system(c, new_at + 5, 1))) ||
        (nested && (st = mmu_probe_system(c, tss.base + TSS_LINK, 2))))
        return st;

    save_task(c, q);
    if (leaves)
        set_busy(c, old_at, false);
    if (nested)
        store_sys(c, tss.base + TSS_LINK, 2, c->tr.sel);
    if (q->by != TASK_RETURN)
        set_busy(c, new_at, true);
    c->tr = tss;
    c->tr.attr |= TYPE_BUSY;
    enter_task(c, &t, nested);
    if ((st = start_task(c, q, &t)))
        return st;
    if (t.trap)
        c->debug_hits |= DR6_BT;
    return X_JUMP;
}

int task_return(struct soft_cpu *c, uint64_t next)
{
    uint64_t link;
    int st = load_sys(c, c->tr.base + TSS_LINK, 2, &link);
    if (st < 0)
        return st;
    return task_switch(
        c, &(struct task_request){
               .sel = (uint16_t)link, .by = TASK_RETURN, .next = next, .flags = eflags_get(c) });
}
