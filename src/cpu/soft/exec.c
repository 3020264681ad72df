/* The loop: blocks, one after the other, each a row of handlers that jump to the next by computed
 * goto.
 *
 * Between blocks c->icount and c->rip are exact; within one, the instruction pointer of the handler
 * that runs says how far it is. Whatever wants attention (a limit reached, an interrupt, a kick)
 * lowers c->stop_at, which is compared once per block; a block that would cross the limit is cut
 * short, so events happen at exact counts. */
#include "cpu/soft/hot_dead.h"
#include "cpu/soft/segment.h"
#include "cpu/soft/tracing.h"

#include "base/log.h"

const struct soft_labels *soft_labels;

/* Account for the instructions of the block before `i` and give rip their end. */
static void leave_block(struct soft_cpu *c, const struct insn *i, bool retired)
{
    unsigned n = (unsigned)(i - c->block->insns);
    c->icount += n + retired;
    c->rip = c->r[REG_RIP] + (retired ? i->next_off : i->next_off - i->len);
    if (!code64(c))
        c->rip = (uint32_t)c->rip;
    c->block = NULL;
}

/* A fault of the instruction at rip, or of its fetch. False: shutdown. */
static bool take_fault(struct soft_cpu *c)
{
    if (!watch_tell_exception(c)) {
        c->icount++;
        return true;
    }
    c->stats.exceptions++;
    TRACE(soft_trace, SOFT_TRACE_EXCEPTION, soft_source(c), (uint64_t)c->exc.vector,
          c->exc.has_error ? c->exc.error : 0, c->rip, c->cr2);
    /* Delivery counts as one, so that a handler that faults at its first instruction cannot stop
     * time. */
    c->icount++;
    return deliver_exception(c);
}

static bool interruptible(const struct soft_cpu *c)
{
    return (c->eflags & FLAG_IF) && c->shadow_at != c->icount;
}

static bool deliver_interrupt(struct soft_cpu *c, int vector)
{
    c->stats.interrupts++;
    TRACE(soft_trace, SOFT_TRACE_INTERRUPT, soft_source(c), (uint64_t)vector, c->rip);
    c->halted = false;
    c->icount++;
    if (deliver_vector(c, vector, INT_EXTERNAL, false, 0, c->rip) != X_JUMP)
        return deliver_exception(c);
    return true;
}

static bool take_external(struct soft_cpu *c)
{
    struct cpu_port *port = c->vcpu.port;
    take_lock(c);
    int vector = port->intc_ops ? port->intc_ops->acknowledge(port->intc) : -1;
    if (vector < 0)
        c->intr = false;
    machine_lock_release(c->lock);
    return vector < 0 || deliver_interrupt(c, vector);
}

/* The #DB that follows an instruction: a finished step, or a watched access. It ends a HLT. */
static bool take_debug_trap(struct soft_cpu *c)
{
    c->debug_hits |= c->step_pending ? DR6_BS : 0;
    c->step_pending = c->halted = false;
    debug_take_hits(c);
    raise_exception(c, VEC_DB);
    return take_fault(c);
}

/* What goes before all else: classes 1 to 3 of SDM vol. 3 table 6-2. False: the cpu shut down.
 * *acted says whether anything was due. INIT waits for RSM, and for an SMI that waits (34.2); a cpu
 * that waits for SIPI takes nothing else. */
static bool deliver_first(struct soft_cpu *c, bool *acted)
{
    bool started = !c->wait_sipi, smi = started && c->smi && !c->smm;
    *acted = true;
    if (started && c->mc_waits) {
        inject_take_machine_check(c);
        return take_fault(c);
    }
    if (started && c->debug_hits & DR6_BT)
        return take_debug_trap(c);
    if (smi && !c->exception_waits && c->shadow_at != c->icount) {
        smm_enter(c);
        return true;
    }
    if (c->init_pending && !c->smm && !smi) {
        c->init_pending = false;
        soft_init(c);
        return true;
    }
    *acted = false;
    return true;
}

/* Whoever does not wait for SIPI has no use for it. Whether it has been started. */
static bool take_sipi(struct soft_cpu *c)
{
    bool starts = c->sipi_pending && c->wait_sipi;
    c->sipi_pending = false;
    if (!starts)
        return false;
    c->wait_sipi = false;
    set_real_segment(c, SEG_CS, (uint16_t)(c->sipi_vector << 8));
    c->rip = 0;
    return true;
}

/* The same of classes 4 to 7. An injected exception is a fault of the next instruction, but goes
 * before interrupts: whoever injects it wants it here. */
static bool deliver_due(struct soft_cpu *c, bool *acted)
{
    bool no_debug = c->ss_shadow_at == c->icount;
    *acted = true;
    if (no_debug)
        c->step_pending = false; /* what was hit is told of after the next instruction */
    else if (c->step_pending || c->debug_hits)
        return take_debug_trap(c);
    if (c->exception_waits) {
        inject_take_exception(c);
        return take_fault(c);
    }
    if (c->nmi && !c->nmi_blocked && c->shadow_at != c->icount) {
        c->nmi = false;
        c->nmi_blocked = true;
        return deliver_interrupt(c, VEC_NMI);
    }
    if (c->intr && interruptible(c))
        return take_external(c);
    if (c->debug_execute && !no_debug && !c->halted && !(c->eflags & FLAG_RF) &&
        debug_execute_hit(c)) {
        raise_exception(c, VEC_DB);
        return take_fault(c);
    }
    *acted = false;
    return true;
}

/* Everything that is looked at between blocks. True: go on, for *budget instructions. */
static bool attend(struct soft_cpu *c, int64_t *budget, enum vcpu_stop *stop)
{
    bool acted = true;
    while (acted) {
        /* Before the kick is looked at, so that one that comes in between is not lost. */
        atomic_store(&c->stop_at, c->limit);
        soft_give_way(c);
        *stop = c->stop_wanted                       ? VCPU_STOP_DEBUG
                : atomic_exchange(&c->kicked, false) ? VCPU_STOP_KICK
                : c->shut_down                       ? VCPU_STOP_SHUTDOWN
                : c->yields                          ? VCPU_STOP_YIELD
                : c->icount >= c->limit              ? VCPU_STOP_LIMIT
                                                     : VCPU_STOP_HALT;
        if (*stop == VCPU_STOP_DEBUG)
            c->stop_wanted = false;
        if (*stop == VCPU_STOP_YIELD)
            c->yields = false;
        if (*stop != VCPU_STOP_HALT)
            return false;
        bool lives = deliver_first(c, &acted);
        acted = acted || take_sipi(c);
        if (!acted && c->wait_sipi) {
            *stop = VCPU_STOP_WAIT_SIPI;
            return false;
        }
        if (!acted)
            lives = deliver_due(c, &acted);
        if (!lives)
            c->shut_down = acted = true;
    }
    if (c->halted)
        return false;
    *budget = (int64_t)(c->limit - c->icount);
    /* In the shadow of STI or MOV SS, single-stepping, or among breakpoints: look again after one
     * instruction. */
    bool shadow = c->shadow_at == c->icount && (c->intr || c->nmi || c->smi);
    if (shadow || c->debug_hits || (c->eflags & FLAG_TF) || c->debug_execute) {
        c->step_pending = c->eflags & FLAG_TF;
        *budget = 1;
        soft_recheck(c);
    }
    c->eflags &= ~(uint64_t)FLAG_RF; /* it holds for one instruction */
    return true;
}

/* May block `from`, which has been executed, remember that `to`, at c->rip, follows it? Only within
 * a page, of RAM (see code_cache.c) and of linear addresses: another one may lie elsewhere the next
 * time. */
static bool linkable(const struct soft_cpu *c, const struct block *from, const struct block *to)
{
    return from->ram_page == to->ram_page && from->ram_page != BLOCK_SCRATCH &&
           (c->r[REG_RIP] ^ c->rip) < 0x1000;
}

/* Up to what count the loop may go on without looking. */
static ALWAYS_INLINE uint64_t stop_now(const struct soft_cpu *c)
{
    return atomic_load_explicit(&c->stop_at, memory_order_relaxed);
}

/* Is `count` within that? One comparison with memory, which compilers make three instructions of.
 */
static ALWAYS_INLINE bool may_reach(const struct soft_cpu *c, uint64_t count)
{
    bool yes;
    __asm__ volatile("cmpq %[stop], %[count]"
                     : "=@ccbe"(yes)
                     : [count] "r"(count), [stop] "m"(c->stop_at));
    return yes;
}

/* After a handler that said neither X_NEXT nor X_JUMP. */
static void finish_insn(struct soft_cpu *c, const struct insn *i, int status)
{
    switch (status) {
    case X_REPEAT:
        leave_block(c, i, false);
        c->repeat_at = ++c->icount;
        break;
    case X_FAULT_AFTER:
        c->icount += (unsigned)(i - c->block->insns) + 1;
        c->block = NULL;
        if (!take_fault(c)) {
            c->shut_down = true;
            soft_recheck(c);
        }
        break;
    case X_FAULT:
        leave_block(c, i, false);
        c->step_pending = false;
        c->debug_hits = 0;
        if (!take_fault(c)) {
            c->shut_down = true;
            soft_recheck(c);
        }
        break;
    default:
        leave_block(c, i, true);
        break;
    }
    c->cur = NULL;
}

/* Tell of the instruction that is next. True: it still is, and nobody wants attention: the block
 * may go on with it. */
static bool tell_point(struct soft_cpu *c, const struct insn *i)
{
    struct block *b = c->block;
    leave_block(c, i, false);
    c->cur = NULL;
    watch_tell_exec(c);
    if (!atomic_load_explicit(&c->stop_at, memory_order_relaxed))
        return false;
    c->icount -= (unsigned)(i - b->insns);
    c->block = b;
    c->cur = i;
    return true;
}

/* What block_at_rip() would find first, for code that may be known to be of 64 bits. NULL: ask it.
 */
static ALWAYS_INLINE struct block *cached_block(struct soft_cpu *c, bool is64)
{
    const struct jump_cache_entry *e = jump_cache_slot(c, c->rip);
    return LIKELY(e->rip == c->rip && e->key == c->jump_key && (is64 || code64(c))) ? e->block
                                                                                    : NULL;
}

enum vcpu_stop soft_exec(struct soft_cpu *c)
{
    static const struct soft_labels labels = {
        .any = {
#define X(name) [OP_##name] = &&L_##name,
            HOT_OPS(X)
#undef X
#define X(name) [OP_##name] = &&L_cold,
            COLD_OPS(X)
#undef X
        },
        .plain = {
#define X(name)
#define M(name) [OP_##name] = &&P_##name,
            HOT_PLAIN_OPS(X, M)
#undef M
#undef X
        },
        .dead = {
#define X(name) [OP_##name] = &&D_##name,
            FLAGS_DEAD_OPS(X)
#undef X
        },
        .fused = {
#define X(op, jump, cc) &&F_##op##_##jump,
            FUSED_PAIRS(X)
#undef X
        },
    };
    if (!c) {
        soft_labels = &labels;
        return VCPU_STOP_KICK;
    }

    const struct insn *i;
    struct block *b = NULL, *found, **link = NULL;
    uint32_t generation = 0;
    int64_t budget;
    enum vcpu_stop stop;
    int st;

/* Execute a block, whose first instruction is at `at`. */
#define RUN_BLOCK(which, at)  \
    do {                      \
        b = (which);          \
        c->block = b;         \
        c->r[REG_RIP] = (at); \
        i = b->insns;         \
        goto * i->handler;    \
    } while (0)

/* The block has been executed to its end; `to` is next, which `field` may already know. */
#define CHAIN(field, to)                                         \
    do {                                                         \
        uint64_t next = (to), count = c->icount + b->count;      \
        c->icount = count;                                       \
        found = b->field;                                        \
        if (LIKELY(found && may_reach(c, count + found->count))) \
            RUN_BLOCK(found, next);                              \
        c->rip = next;                                           \
        link = &b->field;                                        \
        goto no_link;                                            \
    } while (0)

/* A jump out of the block, at its end, to wherever c->rip says: `n` instructions retired. */
#define JUMP(n, is64)                                            \
    do {                                                         \
        uint64_t count = c->icount + (n);                        \
        c->icount = count;                                       \
        found = cached_block(c, is64);                           \
        if (LIKELY(found && may_reach(c, count + found->count))) \
            RUN_BLOCK(found, c->rip);                            \
        goto next_block;                                         \
    } while (0)

    goto next_block;

no_link: /* block `b` has been executed, and *link does not say what comes after it */
    found = cached_block(c, false);
    if (LIKELY(found && may_reach(c, c->icount + found->count))) {
        if (linkable(c, b, found))
            *link = found;
        link = NULL;
        RUN_BLOCK(found, c->rip);
    }
    generation = c->jump_generation;

next_block:
    c->block = NULL;
    budget = (int64_t)(stop_now(c) - c->icount);
    if (UNLIKELY(budget <= 0)) {
        link = NULL; /* what is attended to may change where we are */
        if (!attend(c, &budget, &stop))
            return stop;
    }
    found = cached_block(c, false);
    if (UNLIKELY(!found))
        found = block_at_rip(c);
    if (UNLIKELY(!found)) {
        link = NULL;
        c->step_pending = false;
        if (!take_fault(c)) {
            c->shut_down = true;
            soft_recheck(c);
        }
        goto next_block;
    }
    if (link && generation == c->jump_generation && linkable(c, b, found))
        *link = found;
    link = NULL;
    if (UNLIKELY(found->count > budget))
        found = block_truncated(c, found, (unsigned)budget);
    RUN_BLOCK(found, c->rip);

/* One that needs nothing of the loop. */
#define PLAIN(label, call) \
    label:                 \
    st = call;             \
    if (UNLIKELY(st))      \
        goto leave;        \
    i++;                   \
    goto * i->handler;
#define X(name) PLAIN(L_##name, h_##name(c, i))
#define M(name)                             \
    PLAIN(L_##name, h_##name(c, i, EA_ANY)) \
    PLAIN(P_##name, h_##name(c, i, EA_PLAIN))
    HOT_PLAIN_OPS(X, M)
#undef M
#undef X

#define X(name)                \
    D_##name : d_##name(c, i); \
    i++;                       \
    goto * i->handler;
    FLAGS_DEAD_OPS(X)
#undef X

L_cold:
    c->cur = i;
    st = soft_cold[i->op](c, i);
    if (UNLIKELY(st))
        goto leave;
    i++;
    goto * i->handler;

#define BRANCH(cc)                                       \
    if (condition(c, cc))                                \
        CHAIN(taken, next_rip(c, i) + (uint64_t)i->imm); \
    else                                                 \
        CHAIN(fallthrough, next_rip(c, i));
#define X(op, jump, cc)             \
    F_##op##_##jump : h_##op(c, i); \
    i++;                            \
    BRANCH(cc)
    FUSED_PAIRS(X)
#undef X

#define JCC(name, cc) L_##name : BRANCH(cc)
    /* clang-format off */
    JCC(j_o, 0)
    JCC(j_no, 1)
    JCC(j_b, 2)
    JCC(j_nb, 3)
    JCC(j_z, 4)
    JCC(j_nz, 5)
    JCC(j_be, 6)
    JCC(j_nbe, 7)
    JCC(j_s, 8)
    JCC(j_ns, 9)
    JCC(j_p, 10)
    JCC(j_np, 11)
    JCC(j_l, 12)
    JCC(j_nl, 13)
    JCC(j_le, 14)
    JCC(j_nle, 15)
    /* clang-format on */

#define X(name)                     \
    L_##name : st = h_##name(c, i); \
    if (LIKELY(st == X_JUMP))       \
        JUMP(b->count, true);       \
    goto leave;
    HOT_JUMP_OPS(X)
#undef X

L_jmp_rel:
    CHAIN(taken, next_rip(c, i) + (uint64_t)i->imm);

L_call_rel8:
    st = push8(c, i, next_rip(c, i));
    if (UNLIKELY(st)) {
        if (st < 0)
            goto leave;
        c->rip = next_rip(c, i) + (uint64_t)i->imm;
        st = X_JUMP;
        goto leave;
    }
    CHAIN(taken, next_rip(c, i) + (uint64_t)i->imm);

L_block_end: /* not an instruction: it comes after the last of a block without a branch */
    if (UNLIKELY(!code64(c))) {
        c->icount += b->count;
        c->rip = (uint32_t)next_rip(c, i);
        goto next_block;
    }
    CHAIN(fallthrough, next_rip(c, i));

L_point: /* the handler of instructions that are points: see watch.c */
    c->cur = i;
    if (!watch_is_due(c, c->r[REG_RIP] + i->next_off - i->len + c->ea_base[SEG_CS]) ||
        tell_point(c, i))
        goto *labels.any[i->op];
    link = NULL;
    goto next_block;

leave:
    if (LIKELY(st == X_JUMP))
        JUMP((unsigned)(i - b->insns) + 1, false);
    finish_insn(c, i, st);
    goto next_block;
}
