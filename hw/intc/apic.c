/* Local APIC of a cpu: the device.
 *
 * Intel SDM vol. 3, chapter 10 (version 0x14, six LVT entries). An APIC belongs to one cpu: it
 * drives the INTR pin and answers acknowledge, and passes NMI, SMI, INIT and SIPI on to the cpu's
 * other pins. apic_regs.c has the registers, apic_msr.c what MSRs reach, apic_delivery.c the
 * interrupts, apic_timer.c the timer, apic_bus.c the messages between APICs, apic_state.c all of
 * the registers as one page. The CMCI entry is not there, as the version register says. */
#include "hw/intc/apic_regs.h"

static const struct trace_event apic_events[] = {
    [APIC_TRACE_ACCEPT] = { "apic.accept",
                            "a local APIC accepts an interrupt",
                            { { "vector", TRACE_HEX }, { "level", TRACE_BOOL } } },
    [APIC_TRACE_SIGNAL] = { "apic.signal",
                            "a local APIC is sent what is no vector (SMI, NMI, INIT, start-up, "
                            "ExtINT)",
                            { { "mode", TRACE_DEC }, { "vector", TRACE_HEX } } },
    [APIC_TRACE_ACK] = { "apic.ack", "the cpu takes an interrupt", { { "vector", TRACE_HEX } } },
    [APIC_TRACE_EOI] = { "apic.eoi", "the guest ends an interrupt", { { "vector", TRACE_HEX } } },
    [APIC_TRACE_ERROR] = { "apic.error", "an error is noted", { { "bit", TRACE_HEX } } },
    [APIC_TRACE_ICR] = { "apic.icr",
                         "the guest sends an interprocessor interrupt",
                         { { "icr", TRACE_HEX } } },
    [APIC_TRACE_MSI] = { "apic.msi",
                         "a message of a device or of an I/O APIC",
                         { { "addr", TRACE_HEX }, { "data", TRACE_HEX } } },
    [APIC_TRACE_TIMER_SET] = { "apic.timer_set",
                               "the timer is set or stopped (-1)",
                               { { "deadline", TRACE_INT }, { "count", TRACE_DEC } } },
    [APIC_TRACE_TIMER] = { "apic.timer",
                           "the timer has run out",
                           { { "vector", TRACE_HEX }, { "masked", TRACE_BOOL } } },
};
struct trace_table apic_trace = TRACE_TABLE(apic_events);

static const struct intc_ops apic_intc_ops = { apic_acknowledge };

/* The page at another place than the default: a cpu sees its own there, nobody else sees any.
 * Several may have moved to one place. */
static struct apic *apic_moved_own(const struct apic *s)
{
    const struct cpu_port *p = s->dev.machine->current_cpu;
    struct apic *own = p ? s->bus->apics[p->index] : NULL;
    bool here = own && apic_is_enabled(own) && !apic_is_x2(own) &&
                !((own->base ^ s->base) & APIC_BASE_ADDR);
    return here ? own : NULL;
}

static uint64_t apic_moved_read(void *opaque, uint64_t offset, unsigned size)
{
    struct apic *own = apic_moved_own(opaque);
    return own ? apic_page_read(own, offset) : UINT32_MAX;
}

static void apic_moved_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct apic *own = apic_moved_own(opaque);
    if (own)
        apic_page_write(own, offset, value);
}

static const struct region_ops apic_moved_ops = {
    .read = apic_moved_read,
    .write = apic_moved_write,
    .valid = { 1, 8 },
    .impl = { 4, 4 },
};

static bool apic_init(struct device *d, struct error *err)
{
    struct apic *s = (struct apic *)d;
    region_init_io(&s->moved, d->machine->mem, "apic", APIC_PAGE, &apic_moved_ops, s);
    s->moved.owner = d;
    device_init_gpio_in(d, "lint", apic_set_lint, APIC_LINTS);
    apic_timer_init(s);
    return true;
}

static bool apic_check(struct apic *s, struct error *err)
{
    struct device *d = &s->dev;
    struct machine *m = d->machine;
    struct cpu_port *p = (unsigned)s->cpu < m->cpu_count ? m->cpus[s->cpu] : NULL;
    if (p && m->irqchip != IRQCHIP_USER)
        return error_set(err, "%s: the host's kernel has the local APICs; use irqchip=user",
                         device_name(d));
    if (!p)
        return error_set(err, "%s: cpu=%d does not exist; the machine has %u", device_name(d),
                         s->cpu, m->cpu_count);
    if (p->intc)
        return error_set(err, "%s: cpu %d already takes its interrupts from %s", device_name(d),
                         s->cpu, device_name(p->intc));
    uint32_t id = s->id_prop < 0 ? p->apic_id : (uint32_t)s->id_prop;
    for (unsigned i = 0; i < m->cpu_count; i++)
        if (m->cpus[i] != p && m->cpus[i] && m->cpus[i]->apic && m->cpus[i]->apic_id == id)
            return error_set(err,
                             "%s: APIC id %u is taken by cpu %u; give each cpu its own apic-id",
                             device_name(d), id, i);
    p->apic_id = id;
    s->port = p;
    return true;
}

static bool apic_realize(struct device *d, struct error *err)
{
    struct apic *s = (struct apic *)d;
    if (!apic_check(s, err))
        return false;
    s->bus = apic_bus_join(s);
    s->port->apic = s->port->intc = d;
    s->port->apic_ops = &apic_local_ops;
    s->port->intc_ops = &apic_intc_ops;
    return true;
}

static void apic_unrealize(struct device *d)
{
    struct apic *s = (struct apic *)d;
    timer_cancel(&s->timer);
    if (s->moved.parent)
        region_remove(&s->moved);
    s->port->apic = s->port->intc = NULL;
    s->port->apic_ops = NULL;
    s->port->intc_ops = NULL;
    apic_bus_leave(s);
}

/* The MultiProcessor Specification's virtual wire mode (3.6.2.2), which firmware leaves on the boot
 * cpu. */
static void apic_enter_virtual_wire(struct apic *s)
{
    s->svr |= APIC_SVR_ENABLE;
    s->lvt[LVT_LINT0] = APIC_EXTINT << LVT_MODE_SHIFT;
    s->lvt[LVT_LINT1] = APIC_NMI << LVT_MODE_SHIFT;
}

static void apic_reset(struct device *d)
{
    struct apic *s = (struct apic *)d;
    s->base = APIC_DEFAULT_BASE | APIC_BASE_ENABLE | (s->port->bootstrap ? APIC_BASE_BSP : 0);
    s->id = s->port->apic_id & 0xff;
    apic_reset_registers(s);
    if (s->virtual_wire && s->port->bootstrap)
        apic_enter_virtual_wire(s);
    apic_place_page(s);
    s->output = apic_extint_waits(s);
    apic_drive(s); /* whatever the cpu remembers */
}

static void apic_finalize(struct device *d)
{
    region_fini(&((struct apic *)d)->moved);
}

static const char *const apic_extint_types[] = { "isa-i8259", NULL };

static const struct prop apic_props[] = {
    PROP(PROP_I32, struct apic, cpu, "cpu", "0", "the cpu that it belongs to", .min = 0,
         .max = MACHINE_CPUS_MAX - 1),
    PROP(PROP_I32, struct apic, id_prop, "apic-id", "-1", "initial APIC id; -1: the cpu's number",
         .min = -1, .max = INT32_MAX),
    PROP(PROP_LINK, struct apic, extint, "extint", NULL,
         "the 8259A that gives the vectors of external interrupts", .names = apic_extint_types),
    PROP(PROP_BOOL, struct apic, virtual_wire, "virtual-wire", "true",
         "the boot cpu's APIC starts as firmware leaves it, passing LINT0's external interrupts"),
    PROP_END,
};

static const struct state_field apic_state[] = {
    STATE_U64(struct apic, base),
    STATE_U32(struct apic, id),
    STATE_U32(struct apic, tpr),
    STATE_U32(struct apic, ldr),
    STATE_U32(struct apic, dfr),
    STATE_U32(struct apic, svr),
    STATE_U32(struct apic, esr),
    STATE_U32(struct apic, esr_pending),
    STATE_U32(struct apic, icr_high),
    STATE_U32(struct apic, icr_low),
    STATE_U32(struct apic, divide),
    STATE_ARRAY(STATE_KIND_U32, struct apic, lvt),
    STATE_ARRAY(STATE_KIND_U32, struct apic, irr),
    STATE_ARRAY(STATE_KIND_U32, struct apic, isr),
    STATE_ARRAY(STATE_KIND_U32, struct apic, tmr),
    STATE_ARRAY(STATE_KIND_BOOL, struct apic, lint),
    STATE_BOOL(struct apic, extint_message),
    STATE_BOOL(struct apic, output),
    STATE_U32(struct apic, initial_count),
    STATE_I64(struct apic, timer_start),
    STATE_U32(struct apic, timer_from),
    STATE_U64(struct apic, tsc_deadline),
    STATE_TIMER(struct apic, timer),
    STATE_END,
};

static const struct interface apic_interfaces[] = {
    { INTERFACE_INTC, &apic_intc_ops },
    { INTERFACE_LOCAL_APIC, &apic_local_ops },
    { NULL, NULL },
};

const struct device_type apic_type = {
    .name = "apic",
    .parent = "device",
    .desc = "local APIC of a cpu",
    .instance_size = sizeof(struct apic),
    .props = apic_props,
    .state = apic_state,
    .interfaces = apic_interfaces,
    .init = apic_init,
    .realize = apic_realize,
    .unrealize = apic_unrealize,
    .reset = apic_reset,
    .finalize = apic_finalize,
};
