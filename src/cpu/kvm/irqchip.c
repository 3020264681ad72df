/* Making the interrupt chips in the kernel, their lines, routes and messages. */
#include "cpu/kvm/irqchip.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "base/log.h"
#include "dev/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    MSI_SIZE = 0x100000,
    MSI_PRIORITY = 4096, /* above all that boards map there */
    ROUTES_MAX = 2 + KVM_IOAPIC_NUM_PINS + KVM_PIC_LINES,
};

#define MSI_BASE 0xfee00000ULL

struct routing {
    struct kvm_irq_routing head;
    struct kvm_irq_routing_entry entries[ROUTES_MAX];
};

static const char *const names[] = {
    [IRQCHIP_USER] = "user",
    [IRQCHIP_SPLIT] = "split",
    [IRQCHIP_KERNEL] = "kernel",
};

/* ---- routes ---- */

static bool set_routes(const struct accel *a, struct routing *r)
{
    return kvm_ioctl(a->vm_fd, KVM_SET_GSI_ROUTING, r) == 0;
}

static void add_pin(struct routing *r, unsigned gsi, unsigned chip, unsigned pin)
{
    r->entries[r->head.nr++] = (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_IRQCHIP,
        .u.irqchip = { .irqchip = chip, .pin = pin },
    };
}

static void add_pic_pin(struct routing *r, unsigned gsi, unsigned line)
{
    bool slave = line >= KVM_PIC_CHIP_LINES;

    add_pin(r, gsi, slave ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER,
            line % KVM_PIC_CHIP_LINES);
}

/* Where two GSIs lead to one input, the kernel tells the last of an end of interrupt: the timer,
 * which counts on it. */
static bool route_lines(const struct accel *a)
{
    struct routing r = { .head.nr = 0 };

    for (unsigned n = 0; n < KVM_IOAPIC_NUM_PINS; n++)
        add_pin(&r, GSI_IOAPIC + n, KVM_IRQCHIP_IOAPIC, n);
    for (unsigned n = 0; n < KVM_PIC_LINES; n++)
        add_pic_pin(&r, GSI_PIC + n, n);
    add_pin(&r, GSI_TIMER, KVM_IRQCHIP_IOAPIC, TIMER_IOAPIC_PIN);
    add_pic_pin(&r, GSI_TIMER, TIMER_PIC_LINE);
    return set_routes(a, &r);
}

static bool route_messages(const struct kvm_chips *c)
{
    struct routing r = { .head.nr = 0 };

    for (unsigned n = 0; n < KVM_IOAPIC_NUM_PINS; n++)
        if (c->messages[n].addr)
            r.entries[r.head.nr++] = (struct kvm_irq_routing_entry){
                .gsi = n,
                .type = KVM_IRQ_ROUTING_MSI,
                .u.msi = { .address_lo = (uint32_t)c->messages[n].addr,
                           .address_hi = (uint32_t)(c->messages[n].addr >> 32),
                           .data = c->messages[n].data },
            };
    return set_routes(c->accel, &r);
}

void kvm_chips_set_line(struct kvm_chips *c, unsigned gsi, bool level)
{
    struct kvm_irq_level line = { .irq = gsi, .level = level };

    TRACE(kvm_trace, KVM_TRACE_LINE, ((struct trace_source){ c->accel->machine->trace, "kvm" }),
          gsi, level);
    if (kvm_ioctl(c->accel->vm_fd, KVM_IRQ_LINE, &line) < 0)
        log_host(LOG_ERROR, "kvm", "cannot drive interrupt line %u: %s", gsi, strerror(errno));
}

void kvm_chips_get(struct kvm_chips *c, struct kvm_irqchip *state)
{
    if (kvm_ioctl(c->accel->vm_fd, KVM_GET_IRQCHIP, state) < 0)
        log_host(LOG_ERROR, "kvm", "cannot read interrupt chip %u: %s", state->chip_id,
                 strerror(errno));
}

void kvm_chips_set(struct kvm_chips *c, struct kvm_irqchip *state)
{
    if (kvm_ioctl(c->accel->vm_fd, KVM_SET_IRQCHIP, state) < 0)
        log_host(LOG_ERROR, "kvm", "cannot set interrupt chip %u: %s", state->chip_id,
                 strerror(errno));
}

/* ---- messages ---- */

static void deliver_msi(void *opaque, uint64_t addr, uint32_t data)
{
    struct kvm_chips *c = opaque;
    struct kvm_msi msi = {
        .address_lo = (uint32_t)addr,
        .address_hi = (uint32_t)(addr >> 32),
        .data = data,
    };

    TRACE(kvm_trace, KVM_TRACE_MSI, ((struct trace_source){ c->accel->machine->trace, "kvm" }),
          addr, data);
    if (kvm_ioctl(c->accel->vm_fd, KVM_SIGNAL_MSI, &msi) < 0)
        log_guest("kvm", "message 0x%x to 0x%llx reaches no local APIC", data,
                  (unsigned long long)addr);
}

static void route_msi(void *opaque, unsigned gsi, uint64_t addr, uint32_t data)
{
    struct kvm_chips *c = opaque;

    if (gsi >= KVM_IOAPIC_NUM_PINS)
        return; /* only the first I/O APIC can have level-triggered inputs here */
    c->messages[gsi].addr = addr;
    c->messages[gsi].data = data;
    if (!route_messages(c))
        log_host(LOG_ERROR, "kvm", "cannot route interrupt %u: %s", gsi, strerror(errno));
}

/* A cpu's access to the page of its own APIC never gets here: the rest is messages. */
static uint64_t msi_read(void *opaque, uint64_t offset, unsigned size)
{
    return UINT32_MAX;
}

static void msi_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    deliver_msi(opaque, MSI_BASE + offset, (uint32_t)value);
}

static const struct region_ops msi_ops = {
    .read = msi_read,
    .write = msi_write,
    .valid = { 1, 8 },
    .impl = { 4, 4 },
};

void kvm_chips_join(struct kvm_chips *c)
{
    struct machine *m = c->accel->machine;

    if (c->apics++)
        return;
    region_init_io(&c->msi, m->mem, "kvm-apic-msi", MSI_SIZE, &msi_ops, c);
    region_add(&m->system, MSI_BASE, &c->msi, MSI_PRIORITY);
    c->sink = (struct msi_sink){ .deliver = deliver_msi, .opaque = c };
    if (m->irqchip == IRQCHIP_SPLIT)
        c->sink.route = route_msi;
    m->msi = &c->sink;
}

void kvm_chips_leave(struct kvm_chips *c)
{
    if (--c->apics)
        return;
    c->accel->machine->msi = NULL;
    region_fini(&c->msi);
}

/* ---- life ---- */

/* What the kernel lacks for it; NULL: nothing. */
static const char *lacks(const struct accel *a, enum irqchip irqchip)
{
    static const struct {
        long number;
        bool split; /* needed for that, too */
        const char *name;
    } needed[] = {
        { KVM_CAP_IRQCHIP, true, "interrupt controllers" },
        { KVM_CAP_IRQ_ROUTING, true, "interrupt routing" },
        { KVM_CAP_SIGNAL_MSI, true, "message-signalled interrupts" },
        { KVM_CAP_MP_STATE, true, "the state of halted processors" },
        { KVM_CAP_PIT2, false, "an interval timer" },
        { KVM_CAP_PIT_STATE2, false, "the state of the interval timer" },
    };

    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if ((needed[i].split || irqchip == IRQCHIP_KERNEL) &&
            ioctl(a->kvm_fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
            return needed[i].name;
    if (irqchip == IRQCHIP_SPLIT &&
        ioctl(a->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) <= 0)
        return "local APICs alone";
    return NULL;
}

static bool make(const struct accel *a)
{
    struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { KVM_IOAPIC_NUM_PINS } };

    if (a->machine->irqchip == IRQCHIP_SPLIT)
        return kvm_ioctl(a->vm_fd, KVM_ENABLE_CAP, &split) == 0;
    return kvm_ioctl(a->vm_fd, KVM_CREATE_IRQCHIP, NULL) == 0 && route_lines(a);
}

bool kvm_chips_create(struct accel *a, struct error *err)
{
    struct machine *m = a->machine;
    const char *lack;

    if (m->irqchip == IRQCHIP_AUTO)
        m->irqchip = lacks(a, IRQCHIP_KERNEL) ? IRQCHIP_USER : IRQCHIP_KERNEL;
    if (m->irqchip == IRQCHIP_USER)
        return true;
    lack = lacks(a, m->irqchip);
    if (lack)
        return error_set_host(err, 0,
                              "kvm: irqchip=%s: this kernel lacks %s; use irqchip=user, or a newer "
                              "kernel",
                              names[m->irqchip], lack);
    if (!make(a))
        return error_set_host(err, errno,
                              "kvm: irqchip=%s: cannot make the chips; use irqchip=user",
                              names[m->irqchip]);
    a->chips = ALLOC(struct kvm_chips);
    a->chips->accel = a;
    return true;
}

void kvm_chips_free(struct kvm_chips *c)
{
    free(c);
}

struct kvm_chips *kvm_chips_of(struct device *d, bool split, struct error *err)
{
    struct machine *m = d->machine;
    struct kvm_vcpu *v = m->cpu_count ? kvm_vcpu_at(m, 0) : NULL;

    if (v && v->accel->chips && (m->irqchip == IRQCHIP_KERNEL || split))
        return v->accel->chips;
    error_set(err, "%s: it is in the kernel of machines with accel=kvm, a cpu and irqchip=kernel%s",
              device_name(d), split ? " or split" : "");
    return NULL;
}
