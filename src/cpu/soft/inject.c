/* What comes from outside for the sake of faults: exceptions, and machine checks with their MSRs.
 *
 * SDM vol. 3 chapter 16. There are MC_BANKS banks without a model: an error is whatever the script
 * says. Of MCG_CAP only the number of banks and MCG_SER_P (recovery by software) are set: corrected
 * errors raise no interrupt, the guest finds them when it polls. Machine lock, on the cpu's own
 * thread or while it does not run. */
#include "cpu/soft/soft_cpu.h"

enum { MC_CTL, MC_STATUS, MC_ADDR, MC_MISC };
enum { MCG_SER_P = 1 << 24, MCG_STATUS_KNOWN = 7 };

/* ---- exceptions ---- */

static void look(struct soft_cpu *c)
{
    soft_recheck(c);
    vcpu_wake(&c->vcpu);
}

bool soft_inject(struct vcpu *v, const struct vcpu_exception *e, struct error *err)
{
    struct soft_cpu *c = soft_of(v);
    if (c->exception_waits)
        return error_set(err, "cpu %u: exception %d waits to be delivered already", v->port->index,
                         c->injected.vector);
    c->injected = *e;
    c->exception_waits = true;
    look(c);
    return true;
}

void inject_take_exception(struct soft_cpu *c)
{
    c->exception_waits = c->halted = false;
    if (c->injected.has_error)
        raise_error(c, c->injected.vector, c->injected.error);
    else
        raise_exception(c, c->injected.vector);
}

/* ---- machine checks ---- */

/* Of two errors in one bank the graver stays, of two uncorrected ones the first: 16.3.2.2.1. */
static void log_error(struct mc_bank *b, const struct vcpu_machine_check *m)
{
    bool held = b->status & MC_STATUS_VALID;
    if (held && b->status & MC_STATUS_UNCORRECTED) {
        b->status |= MC_STATUS_OVERFLOW;
        return;
    }
    b->status = m->status | MC_STATUS_VALID | (held ? MC_STATUS_OVERFLOW : 0);
    b->addr = m->addr;
    b->misc = m->misc;
}

bool soft_machine_check(struct vcpu *v, const struct vcpu_machine_check *m, struct error *err)
{
    struct soft_cpu *c = soft_of(v);
    if (m->bank >= MC_BANKS)
        return error_set(err, "cpu %u: there is no bank %u; it has %d, counted from 0",
                         v->port->index, m->bank, MC_BANKS);
    log_error(&c->mc[m->bank], m);
    if (!(m->status & MC_STATUS_UNCORRECTED) || !(m->status & MC_STATUS_ENABLED))
        return true;
    if (c->mcg_status & MCG_STATUS_IN_PROGRESS || !(c->cr4 & CR4_MCE))
        c->shut_down = true;
    else
        c->mc_waits = true;
    c->mcg_status = (m->mcg_status & MCG_STATUS_KNOWN) | MCG_STATUS_IN_PROGRESS;
    look(c);
    return true;
}

void inject_take_machine_check(struct soft_cpu *c)
{
    c->mc_waits = c->halted = false;
    raise_exception(c, VEC_MC);
}

/* ---- MSRs ---- */

bool mc_is_msr(uint32_t index)
{
    return index == MSR_MCG_CAP || index == MSR_MCG_STATUS ||
           (index >= MSR_MC0_CTL && index < MSR_MC0_CTL + 4 * MC_BANKS);
}

static uint64_t *bank_register(struct mc_bank *b, unsigned which)
{
    uint64_t *const registers[] = {
        [MC_CTL] = &b->ctl, [MC_STATUS] = &b->status, [MC_ADDR] = &b->addr, [MC_MISC] = &b->misc
    };
    return registers[which];
}

uint64_t mc_msr_read(const struct soft_cpu *c, uint32_t index)
{
    if (index == MSR_MCG_CAP)
        return MCG_SER_P | MC_BANKS;
    if (index == MSR_MCG_STATUS)
        return c->mcg_status;
    unsigned n = index - MSR_MC0_CTL;
    return *bank_register((struct mc_bank *)&c->mc[n / 4], n % 4);
}

/* Of a bank software can set the control register, and clear the others. */
void mc_msr_set(struct soft_cpu *c, uint32_t index, uint64_t value)
{
    unsigned n = index - MSR_MC0_CTL;
    if (index == MSR_MCG_STATUS)
        c->mcg_status = value;
    else if (index != MSR_MCG_CAP)
        *bank_register(&c->mc[n / 4], n % 4) = value;
}

bool mc_msr_write(struct soft_cpu *c, uint32_t index, uint64_t value)
{
    if (index == MSR_MCG_CAP)
        return false;
    if (index == MSR_MCG_STATUS) {
        if (value & ~(uint64_t)MCG_STATUS_KNOWN)
            return false;
        c->mcg_status = value;
        return true;
    }
    unsigned n = index - MSR_MC0_CTL;
    if (n % 4 != MC_CTL && value != 0)
        return false;
    *bank_register(&c->mc[n / 4], n % 4) = value;
    return true;
}
