/* kvm-apic: a cpu's local APIC in the kernel.
 *
 * The kernel serves the guest's accesses, interprocessor interrupts (INIT and start-up included),
 * HLT and the timer. What is left is its reset, a look at its registers, input LINT1 (NMI), and
 * with IRQCHIP_SPLIT LINT0, by which the machine's own 8259A pair asks for an interrupt. */
#include "cpu/kvm/irqchip.h"

#include "base/bits.h"
#include "base/log.h"
#include "dev/device.h"
#include "dev/state.h"

#include <errno.h>
#include <string.h>

/* Registers by offset in the page (SDM vol. 3 table 10-1). */
enum {
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_IRR = 0x200,
    APIC_LVT_CMCI = 0x2f0,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_CURRENT_COUNT = 0x390,

    APIC_WORDS = KVM_APIC_REG_SIZE / 4,
    SVR_RESET = 0xff,
    SVR_ENABLE = 1 << 8,
    LVT_MASKED = 1 << 16,
    LVT_NMI = 4 << 8,
    LVT_EXTINT = 7 << 8,
    LVT_TIMER_DEADLINE = 2 << 17, /* of the timer's mode, bits 18:17 */
    LVT_TIMER_MODE = 3 << 17,
    CMCI_ENTRIES = 6, /* highest entry in the version register where there is one for CMCI */

    MSR_TSC_DEADLINE = 0x6e0,
};

struct kvm_apic {
    struct device dev;
    struct kvm_chips *chips;
    struct cpu_port *port;
    int32_t cpu, id_prop;
    struct device *extint;
    bool virtual_wire;
    /* As last fetched. */
    uint64_t base, tsc_deadline;
    uint32_t regs[APIC_WORDS]; /* a register at each fourth word, as in the page */
};

static uint32_t reg_get(const struct kvm_lapic_state *l, unsigned offset)
{
    return ld_le32(l->regs + offset);
}

static void reg_put(struct kvm_lapic_state *l, unsigned offset, uint32_t value)
{
    st_le32(l->regs + offset, value);
}

static bool get_lapic(struct kvm_vcpu *v, struct kvm_lapic_state *l)
{
    if (kvm_ioctl(v->fd, KVM_GET_LAPIC, l) == 0)
        return true;
    log_host(LOG_ERROR, "kvm", "cannot read the local APIC of cpu %u: %s", v->vcpu.port->index,
             strerror(errno));
    return false;
}

static void set_lapic(struct kvm_vcpu *v, struct kvm_lapic_state *l)
{
    if (kvm_ioctl(v->fd, KVM_SET_LAPIC, l) < 0)
        log_host(LOG_ERROR, "kvm", "cannot set the local APIC of cpu %u: %s", v->vcpu.port->index,
                 strerror(errno));
}

/* ---- time ---- */

static unsigned timer_irr(uint32_t lvt)
{
    return APIC_IRR + (lvt & 0xff) / 32 * 16;
}

static bool timer_requested(const struct kvm_lapic_state *l)
{
    uint32_t lvt = reg_get(l, APIC_LVT_TIMER);

    return reg_get(l, timer_irr(lvt)) >> (lvt & 31) & 1;
}

/* The kernel lets the timer run on. What must not be lost is an interrupt that was due before time
 * stopped and that the kernel has not delivered yet: then nothing is kept here, and the timer stays
 * as it is. */
void kvm_apic_stop(struct kvm_vcpu *v)
{
    struct kvm_lapic_state l;
    uint64_t deadline;

    v->apic_timer = (struct kvm_apic_timer){ .left = 0 };
    if (!get_lapic(v, &l))
        return;
    v->apic_timer.requested = timer_requested(&l);
    if ((reg_get(&l, APIC_LVT_TIMER) & LVT_TIMER_MODE) != LVT_TIMER_DEADLINE)
        v->apic_timer.left = reg_get(&l, APIC_CURRENT_COUNT);
    else if (kvm_vcpu_get_msr(&v->vcpu, MSR_TSC_DEADLINE, &deadline, NULL) &&
             deadline > kvm_tsc(v->vcpu.port))
        v->apic_timer.deadline = deadline;
}

/* The timer goes on from where it was, and is not due for what was not to be yet. Setting the state
 * makes the kernel start from the current count and forget an interrupt that it owes. */
void kvm_apic_start(struct kvm_vcpu *v)
{
    const struct kvm_apic_timer *t = &v->apic_timer;
    struct kvm_lapic_state l;
    uint32_t lvt;

    if ((!t->left && !t->deadline) || !get_lapic(v, &l))
        return;
    lvt = reg_get(&l, APIC_LVT_TIMER);
    if (!t->requested)
        reg_put(&l, timer_irr(lvt), reg_get(&l, timer_irr(lvt)) & ~(1u << (lvt & 31)));
    if (t->left)
        reg_put(&l, APIC_CURRENT_COUNT, t->left);
    set_lapic(v, &l);
    if (t->deadline)
        kvm_vcpu_set_msr(&v->vcpu, MSR_TSC_DEADLINE, t->deadline, NULL);
}

/* ---- the device ---- */

static void apic_set_lint(void *opaque, int n, bool level)
{
    struct kvm_apic *s = opaque;

    if (n == 1 && level)
        s->port->pins->nmi(s->port);
    else if (n == 0 && s->dev.machine->irqchip == IRQCHIP_SPLIT)
        s->port->pins->intr(s->port, level);
}

static bool apic_init(struct device *d, struct error *err)
{
    device_init_gpio_in(d, "lint", apic_set_lint, KVM_APIC_LINTS);
    return true;
}

static bool apic_check(struct kvm_apic *s, struct error *err)
{
    struct device *d = &s->dev;
    struct machine *m = d->machine;

    if ((unsigned)s->cpu >= m->cpu_count)
        return error_set(err, "%s: cpu=%d does not exist; the machine has %u", device_name(d),
                         s->cpu, m->cpu_count);
    if (s->chips->apic[s->cpu])
        return error_set(err, "%s: cpu %d has %s already", device_name(d), s->cpu,
                         device_name(s->chips->apic[s->cpu]));
    s->port = m->cpus[s->cpu];
    if (s->port->intc)
        return error_set(err, "%s: cpu %d already takes its interrupts from %s", device_name(d),
                         s->cpu, device_name(s->port->intc));
    if (s->id_prop >= 0 && (uint32_t)s->id_prop != s->port->apic_id)
        return error_set(
            err,
            "%s: apic-id=%d: in the kernel it is the cpu's number, %u; use irqchip=user "
            "for others",
            device_name(d), s->id_prop, s->port->apic_id);
    return true;
}

static bool apic_realize(struct device *d, struct error *err)
{
    struct kvm_apic *s = (struct kvm_apic *)d;

    s->chips = kvm_chips_of(d, true, err);
    if (!s->chips || !apic_check(s, err))
        return false;
    s->chips->apic[s->cpu] = d;
    if (d->machine->irqchip == IRQCHIP_SPLIT && s->extint) {
        s->port->intc = s->extint;
        s->port->intc_ops = device_interface(s->extint, INTERFACE_INTC);
    }
    kvm_chips_join(s->chips);
    return true;
}

static void apic_unrealize(struct device *d)
{
    struct kvm_apic *s = (struct kvm_apic *)d;

    s->chips->apic[s->cpu] = NULL;
    if (s->port->intc == s->extint) {
        s->port->intc = NULL;
        s->port->intc_ops = NULL;
    }
    kvm_chips_leave(s->chips);
}

/* SDM vol. 3 10.4.7.1; the MultiProcessor Specification's virtual wire mode (3.6.2.2) is what
 * firmware leaves on the boot cpu. */
static void apic_reset_state(const struct kvm_apic *s, struct kvm_lapic_state *l)
{
    uint32_t version = reg_get(l, APIC_VERSION);

    memset(l, 0, sizeof *l);
    reg_put(l, APIC_ID, s->port->apic_id << 24);
    reg_put(l, APIC_VERSION, version);
    reg_put(l, APIC_DFR, UINT32_MAX);
    reg_put(l, APIC_SVR, SVR_RESET);
    for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 16)
        reg_put(l, lvt, LVT_MASKED);
    if ((version >> 16 & 0xff) >= CMCI_ENTRIES)
        reg_put(l, APIC_LVT_CMCI, LVT_MASKED);
    if (s->virtual_wire && s->port->bootstrap) {
        reg_put(l, APIC_SVR, SVR_RESET | SVR_ENABLE);
        reg_put(l, APIC_LVT_LINT0, LVT_EXTINT);
        reg_put(l, APIC_LVT_LINT1, LVT_NMI);
    }
}

/* IA32_APIC_BASE first: it says what the registers look like. */
static void apic_reset(struct device *d)
{
    struct kvm_apic *s = (struct kvm_apic *)d;
    struct kvm_vcpu *v = kvm_vcpu_at(d->machine, (unsigned)s->cpu);
    struct kvm_lapic_state l;
    struct kvm_sregs sregs;

    v->apic_timer = (struct kvm_apic_timer){ .left = 0 };
    kvm_keep_out(v->accel);
    if (kvm_vcpu_get_sregs(&v->vcpu, &sregs, NULL)) {
        sregs.apic_base = v->reset_sregs.apic_base;
        kvm_vcpu_set_sregs(&v->vcpu, &sregs, NULL);
    }
    if (get_lapic(v, &l)) {
        apic_reset_state(s, &l);
        set_lapic(v, &l);
    }
    kvm_let_in(v->accel);
    if (d->machine->irqchip == IRQCHIP_KERNEL)
        device_gpio_in(d, "lint", 0, NULL)->unseen = KVM_UNSEEN_LINE;
}

static void apic_fetch(struct device *d)
{
    struct kvm_apic *s = (struct kvm_apic *)d;
    struct kvm_vcpu *v = kvm_vcpu_at(d->machine, (unsigned)s->cpu);
    struct kvm_lapic_state l;
    struct kvm_sregs sregs;

    kvm_keep_out(v->accel);
    if (get_lapic(v, &l))
        for (unsigned n = 0; n < APIC_WORDS; n++)
            s->regs[n] = reg_get(&l, n * 4);
    if (kvm_vcpu_get_sregs(&v->vcpu, &sregs, NULL))
        s->base = sregs.apic_base;
    s->tsc_deadline = 0;
    kvm_vcpu_get_msr(&v->vcpu, MSR_TSC_DEADLINE, &s->tsc_deadline, NULL);
    kvm_let_in(v->accel);
    if (v->accel->stopped && v->apic_timer.left) /* the kernel's own counts on */
        s->regs[APIC_CURRENT_COUNT / 4] = v->apic_timer.left;
}

static const char *const extint_types[] = { "isa-i8259", "kvm-pic", NULL };

static const struct prop apic_props[] = {
    PROP(PROP_I32, struct kvm_apic, cpu, "cpu", "0", "the cpu that it belongs to", .min = 0,
         .max = MACHINE_CPUS_MAX - 1),
    PROP(PROP_I32, struct kvm_apic, id_prop, "apic-id", "-1",
         "initial APIC id; only the cpu's number (-1) is possible", .min = -1, .max = INT32_MAX),
    PROP(PROP_LINK, struct kvm_apic, extint, "extint", NULL,
         "the 8259A that gives the vectors of external interrupts", .names = extint_types),
    PROP(PROP_BOOL, struct kvm_apic, virtual_wire, "virtual-wire", "true",
         "the boot cpu's APIC starts as firmware leaves it, passing LINT0's external interrupts"),
    PROP_END,
};

static const struct state_field apic_state[] = {
    STATE_U64(struct kvm_apic, base),
    STATE_U64(struct kvm_apic, tsc_deadline),
    STATE_ARRAY(STATE_KIND_U32, struct kvm_apic, regs),
    STATE_END,
};

const struct device_type kvm_apic_type = {
    .name = "kvm-apic",
    .parent = "device",
    .desc = "local APIC in the host's kernel (accel=kvm, irqchip=kernel or split)",
    .instance_size = sizeof(struct kvm_apic),
    .props = apic_props,
    .state = apic_state,
    .init = apic_init,
    .realize = apic_realize,
    .unrealize = apic_unrealize,
    .reset = apic_reset,
    .fetch = apic_fetch,
};
