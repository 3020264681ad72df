/* The software CPU as a backend: its life, its pins, how it is run. Its state: state.c. */
#include "cpu/soft/coverage.h"
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

#include "base/alloc.h"
#include "base/log.h"

#include <sched.h>
#include <stdlib.h>

enum { MILLION = 1000000 };

/* What the TSC is ahead of virtual time by its skew. */
static int64_t tsc_gain(const struct soft_cpu *c, int64_t now)
{
    return c->tsc_gained + (int64_t)((__int128)(now - c->tsc_skewed_at) * c->tsc_ppm / MILLION);
}

/* What it has gained so far stays. It is no matter of TSC_ADJUST: software has not done it. */
void soft_skew_tsc(struct vcpu *v, int32_t ppm)
{
    struct soft_cpu *c = soft_of(v);
    int64_t now = clock_now(&v->machine->virtual);
    c->tsc_gained = tsc_gain(c, now);
    c->tsc_ppm = ppm;
    c->tsc_skewed_at = now;
}

/* One tick a nanosecond of virtual time: see cpuid.c, leaf 15h. */
uint64_t soft_tsc(const struct soft_cpu *c)
{
    int64_t now = clock_now(&c->vcpu.machine->virtual);
    uint64_t tsc = (uint64_t)now + c->tsc_offset + (uint64_t)c->tsc_gained;
    return LIKELY(!c->tsc_ppm) ? tsc : (uint64_t)(now + tsc_gain(c, now)) + c->tsc_offset;
}

/* ---- reset: SDM vol. 3 table 9-1 ---- */

static void reset_segments(struct soft_cpu *c)
{
    for (unsigned s = 0; s < SEG_COUNT; s++)
        c->seg[s] =
            (struct segment){ .limit = 0xffff, .attr = ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED };
    c->seg[SEG_CS].sel = 0xf000;
    c->seg[SEG_CS].base = 0xffff0000;
    c->seg[SEG_CS].attr |= ATTR_CODE;
    c->ldt = (struct segment){ .limit = 0xffff, .attr = ATTR_P | 2 };
    c->tr = (struct segment){ .limit = 0xffff, .attr = ATTR_P | 11 };
    c->gdt.base = c->idt.base = 0;
    c->gdt.limit = c->idt.limit = 0xffff;
}

void soft_init(struct soft_cpu *c)
{
    memset(c->r, 0, sizeof c->r);
    c->r[RDX] = 0x106ca; /* the signature of CPUID leaf 1 */
    eflags_set(c, FLAG_1);
    c->rip = 0xfff0;
    reset_segments(c);
    c->cr0 = (c->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
    c->cr2 = c->cr3 = c->cr4 = c->cr8_shadow = 0;
    c->efer = 0;
    c->cpl = 0;
    memset(c->dr, 0, sizeof c->dr);
    c->dr[6] = 0xffff0ff0;
    c->dr[7] = 0x400;
    c->debug_hits = 0;
    debug_registers_changed(c);
    c->nmi = c->nmi_blocked = c->halted = c->shut_down = c->step_pending = false;
    c->exception_waits = c->mc_waits = c->yields = false;
    c->monitor = (struct monitor){ 0 };
    c->shadow_at = c->ss_shadow_at = UINT64_MAX;
    c->wait_sipi = !c->vcpu.port->bootstrap;
    update_mode(c);
    mmu_flush(c);
}

static void soft_reset(struct vcpu *v)
{
    struct soft_cpu *c = soft_of(v);
    c->cr0 = CR0_CD | CR0_NW;
    smm_set(c, false);
    c->smi = c->smm_in_nmi = false;
    c->smbase = 0x30000;
    c->smi_count = 0;
    c->smm_io.at = UINT64_MAX;
    soft_init(c);
    c->init_pending = c->sipi_pending = false;
    c->star = c->lstar = c->cstar = c->sfmask = c->kernel_gs_base = 0;
    c->sysenter_cs = c->sysenter_esp = c->sysenter_eip = 0;
    c->pat = 0x0007040600070406;
    c->misc_enable = MISC_RESET;
    c->tsc_offset = c->tsc_aux = 0;
    c->mtrr_def_type = 0;
    memset(c->mtrr_fixed, 0, sizeof c->mtrr_fixed);
    memset(c->mtrr_var, 0, sizeof c->mtrr_var);
    c->mcg_status = 0; /* what the banks have logged stays, to be found after the reset */
    for (unsigned n = 0; n < MC_BANKS; n++)
        c->mc[n].ctl = 0;
    fpu_reset(c);
}

/* ---- pins ---- */

static struct soft_cpu *cpu_of(struct cpu_port *p)
{
    return p->vcpu;
}

/* Have a cpu that is running look, and one that is halted wake up. */
static void nudge(struct soft_cpu *c)
{
    soft_recheck(c);
    vcpu_wake(&c->vcpu);
}

static void pin_intr(struct cpu_port *p, bool level)
{
    cpu_of(p)->intr = level;
    if (level)
        nudge(cpu_of(p));
}

static void pin_nmi(struct cpu_port *p)
{
    cpu_of(p)->nmi = true;
    nudge(cpu_of(p));
}

static void pin_smi(struct cpu_port *p)
{
    cpu_of(p)->smi = true;
    nudge(cpu_of(p));
}

static void pin_init(struct cpu_port *p)
{
    cpu_of(p)->init_pending = true;
    nudge(cpu_of(p));
}

static void pin_startup(struct cpu_port *p, uint8_t vector)
{
    struct soft_cpu *c = cpu_of(p);
    c->sipi_pending = true;
    c->sipi_vector = vector;
    nudge(c);
}

static void pin_a20(struct cpu_port *p, bool enabled)
{
    struct soft_cpu *c = cpu_of(p);
    uint64_t mask = enabled ? UINT64_MAX : ~(1ULL << 20);
    if (mask == c->a20_mask)
        return;
    c->a20_mask = mask;
    mmu_flush(c);
    nudge(c);
}

static uint64_t pin_tsc(struct cpu_port *p)
{
    return soft_tsc(cpu_of(p));
}

static int64_t pin_tsc_deadline(struct cpu_port *p, uint64_t tsc)
{
    struct soft_cpu *c = cpu_of(p);
    int64_t now = clock_now(&c->vcpu.machine->virtual);
    uint64_t now_tsc = soft_tsc(c);
    if (tsc <= now_tsc)
        return now;
    uint64_t wait = tsc - now_tsc;
    uint64_t rate = (uint64_t)(MILLION + c->tsc_ppm);
    if (c->tsc_ppm) /* rounded up: never too early */
        wait = (uint64_t)(((unsigned __int128)wait * MILLION + rate - 1) / rate);
    return wait > (uint64_t)(CLOCK_NEVER - 1 - now) ? CLOCK_NEVER - 1 : now + (int64_t)wait;
}

static const struct cpu_pins pins = {
    .physical_bits = SOFT_PHYSICAL_BITS,
    .intr = pin_intr,
    .nmi = pin_nmi,
    .smi = pin_smi,
    .init = pin_init,
    .startup = pin_startup,
    .a20 = pin_a20,
    .tsc = pin_tsc,
    .tsc_deadline_ns = pin_tsc_deadline,
};

/* ---- life ---- */

static struct accel *soft_open(struct machine *m, struct error *err)
{
    if (!fpu_host_ok(err))
        return NULL;
    soft_exec(NULL);
    struct code_cache *code = code_cache_new(m->mem);
    if (!code) {
        error_set_host(err, 0, "cpu: no memory for the cache of decoded instructions");
        return NULL;
    }
    struct accel *a = ALLOC(struct accel);
    a->machine = m;
    a->code = code;
    if (getenv("PERILUNE_OPCODES"))
        a->coverage = opcode_coverage_new();
    code_watch_init(a);
    return a;
}

static void soft_close(struct accel *a)
{
    if (!a)
        return;
    if (a->coverage && !opcode_coverage_close(a->coverage, getenv("PERILUNE_OPCODES")))
        log_host(LOG_WARN, "cpu", "cannot write to the folder that PERILUNE_OPCODES names, %s",
                 getenv("PERILUNE_OPCODES"));
    mem_dirty_source_remove(a->machine->mem, &a->dirty);
    mem_code_watch_remove(a->machine->mem, &a->code_watch);
    code_cache_free(a->code);
    free(a);
}

static bool soft_offer(struct cpu_offer *out, struct error *err)
{
    (void)err;
    soft_cpu_offer(out);
    return true;
}

static struct vcpu *soft_vcpu_new(struct accel *a, struct cpu_port *port, const char *model,
                                  struct error *err)
{
    struct cpu_offer offer;
    struct cpu_features features;
    soft_cpu_offer(&offer);
    if (!cpu_model_parse(model, &offer, &features, err))
        return NULL;
    struct soft_cpu *c = aligned_alloc(64, align_up(sizeof *c, 64));
    if (!c)
        c = alloc_zero(1, sizeof *c);
    memset(c, 0, sizeof *c);
    c->vcpu = (struct vcpu){ .backend = &vcpu_soft, .machine = a->machine, .port = port };
    c->lock = loop_lock(a->machine->loop);
    c->accel = a;
    c->code = a->code;
    a->cpus[a->cpu_count++] = c;
    c->features = features;
    c->isa = soft_isa(&features);
    soft_features_init(c);
    c->random = a->machine->seed * 16 + port->index;
    port->pins = &pins;
    port->vcpu = c;
    c->told_at = c->repeat_at = UINT64_MAX;
    mmu_init(c);
    soft_reset(&c->vcpu);
    return &c->vcpu;
}

static void soft_vcpu_free(struct vcpu *v)
{
    struct soft_cpu *c = soft_of(v);
    struct accel *a = c->accel;
    mmu_fini(c);
    for (unsigned n = 0; n < a->cpu_count; n++)
        if (a->cpus[n] == c)
            a->cpus[n] = a->cpus[--a->cpu_count];
    v->port->pins = NULL;
    v->port->vcpu = NULL;
    free(c);
}

/* The loop subtracts counts as signed numbers: no limit is as far away as can be. */
static uint64_t attainable(uint64_t limit)
{
    return limit < INT64_MAX ? limit : INT64_MAX;
}

/* Whoever has the lock has asked before it looked whether a cpu runs, and a cpu says that it runs
 * before it looks whether somebody has asked: one of them sees the other. */
void soft_stand_still(struct accel *a)
{
    struct soft_cpu *c;
    if (a->running && pthread_equal(a->thread, pthread_self()))
        return;
    a->still_wanted = true;
    while ((c = a->running) && !a->waits_for_lock) {
        soft_recheck(c);
        sched_yield();
    }
}

void soft_give_way(struct soft_cpu *c)
{
    if (!c->accel->still_wanted)
        return;
    take_lock(c);
    c->accel->still_wanted = false;
    machine_lock_release(c->lock);
}

static enum vcpu_stop soft_run(struct vcpu *v, uint64_t limit)
{
    struct soft_cpu *c = soft_of(v);
    struct accel *a = c->accel;
    c->others = a->retired - c->icount;
    a->thread = pthread_self();
    a->running = c;
    c->limit = attainable(limit) - c->others;
    soft_give_way(c);
    soft_recheck(c);
    enum vcpu_stop stop = soft_exec(c);
    a->retired = c->others + c->icount;
    a->running = NULL;
    return stop;
}

int soft_yield(struct soft_cpu *c)
{
    struct vcpu *v = &c->vcpu;
    uint64_t now = c->others + soft_icount(c) + 1, was = c->limit;
    uint64_t limit = v->next_slice ? v->next_slice(v->wake_opaque, now) : 0;
    if (!limit) {
        c->yields = true;
        soft_recheck(c);
        return X_BREAK;
    }
    c->limit = attainable(limit) - c->others;
    /* Unless the loop is to look at something, which it will then find the new limit after. */
    atomic_compare_exchange_strong(&c->stop_at, &was, c->limit);
    return 0;
}

static void soft_kick(struct vcpu *v)
{
    struct soft_cpu *c = soft_of(v);
    atomic_store(&c->kicked, true);
    atomic_store(&c->stop_at, 0);
    vcpu_wake(v);
}

static void soft_set_limit(struct vcpu *v, uint64_t limit)
{
    struct soft_cpu *c = soft_of(v);
    c->limit = attainable(limit) - c->others;
    soft_recheck(c);
}

static uint64_t soft_instructions(struct vcpu *v)
{
    const struct accel *a = soft_of(v)->accel;
    const struct soft_cpu *c = a->running;
    return c ? c->others + soft_icount(c) : a->retired;
}

static bool soft_translate(struct vcpu *v, uint64_t gva, uint64_t *gpa)
{
    return mmu_translate_quiet(soft_of(v), gva, gpa);
}

static void soft_get_stats(struct vcpu *v, struct vcpu_stats *stats)
{
    struct soft_cpu *c = soft_of(v);
    *stats = c->stats;
    stats->instructions = soft_icount(c);
}

const struct vcpu_backend vcpu_soft = {
    .name = "soft",
    .counts_instructions = true,
    .open = soft_open,
    .close = soft_close,
    .cpu_offer = soft_offer,
    .vcpu_new = soft_vcpu_new,
    .vcpu_free = soft_vcpu_free,
    .look = monitor_look,
    .run = soft_run,
    .kick = soft_kick,
    .set_limit = soft_set_limit,
    .instructions = soft_instructions,
    .reset = soft_reset,
    .get_regs = soft_get_regs,
    .set_regs = soft_set_regs,
    .get_reg = soft_get_reg,
    .get_sregs = soft_get_sregs,
    .set_sregs = soft_set_sregs,
    .get_fpu = soft_get_fpu,
    .set_fpu = soft_set_fpu,
    .get_msr = soft_get_msr,
    .set_msr = soft_set_msr,
    .msrs = soft_msrs,
    .get_misc = soft_get_misc,
    .set_misc = soft_set_misc,
    .translate = soft_translate,
    .get_stats = soft_get_stats,
    .inject = soft_inject,
    .machine_check = soft_machine_check,
    .skew_tsc = soft_skew_tsc,
    .watch = soft_watch,
};
