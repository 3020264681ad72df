/* The local APIC's timer: one-shot, periodic and TSC-deadline.
 *
 * Intel SDM vol. 3, 10.5.4. The count is computed from the virtual clock; a timer waits for its
 * end. */
#include "hw/intc/apic_internal.h"

/* The timer's input clock, before the divider: one tick per nanosecond. CPUID 15h tells the guest.
 */
#define APIC_TIMER_HZ 1000000000LL
#define APIC_TICK_NS  (NS_PER_SECOND / APIC_TIMER_HZ)

enum { LVT_TIMER_ONE_SHOT, LVT_TIMER_PERIODIC, LVT_TIMER_DEADLINE, LVT_TIMER_MODE_SHIFT = 17 };

static unsigned apic_timer_mode(uint32_t lvt)
{
    return lvt >> LVT_TIMER_MODE_SHIFT & 3;
}

static int64_t apic_timer_now(const struct apic *s)
{
    return clock_now(&s->dev.machine->virtual);
}

/* Nanoseconds per count. Divide configuration bits 3, 1, 0: 2, 4, ... 128, and 7 for 1. */
static int64_t apic_timer_step(const struct apic *s)
{
    unsigned code = (s->divide >> 1 & 4) | (s->divide & 3);
    return APIC_TICK_NS << ((code + 1) & 7);
}

static int64_t apic_timer_end(const struct apic *s)
{
    return s->timer_start + (int64_t)s->timer_from * apic_timer_step(s);
}

/* Set, or stopped, as the guest has asked. */
static void apic_timer_traced(const struct apic *s)
{
    TRACE(apic_trace, APIC_TRACE_TIMER_SET, device_source(&s->dev),
          timer_is_set(&s->timer) ? (uint64_t)s->timer.deadline : UINT64_MAX, s->timer_from);
}

/* Count down from `from`, from `now` on. */
static void apic_timer_run(struct apic *s, uint32_t from, int64_t now)
{
    s->timer_from = from;
    s->timer_start = now;
    if (from)
        timer_set(&s->timer, apic_timer_end(s));
    else
        timer_cancel(&s->timer);
    apic_timer_traced(s);
}

/* Periods that went by unseen are one interrupt, as they would be in IRR. */
static void apic_timer_reload(struct apic *s)
{
    int64_t now = apic_timer_now(s), period = (int64_t)s->initial_count * apic_timer_step(s);
    s->timer_from = s->initial_count;
    s->timer_start += (now - s->timer_start) / period * period;
    timer_set(&s->timer, apic_timer_end(s));
}

static void apic_timer_fire(void *opaque)
{
    struct apic *s = opaque;
    switch (apic_timer_mode(s->lvt[LVT_TIMER])) {
    case LVT_TIMER_PERIODIC:
        s->timer_start = apic_timer_end(s);
        if (s->initial_count)
            apic_timer_reload(s);
        break;
    case LVT_TIMER_DEADLINE:
        s->tsc_deadline = 0;
        break;
    default:
        s->timer_from = 0;
        break;
    }
    apic_timer_expired(s);
}

void apic_timer_init(struct apic *s)
{
    timer_init(&s->timer, &s->dev.machine->virtual, apic_timer_fire, s);
}

void apic_timer_reset(struct apic *s)
{
    s->initial_count = s->timer_from = s->divide = 0;
    s->timer_start = 0;
    s->tsc_deadline = 0;
    timer_cancel(&s->timer);
}

void apic_timer_write_count(struct apic *s, uint32_t value)
{
    if (apic_timer_mode(s->lvt[LVT_TIMER]) == LVT_TIMER_DEADLINE)
        return; /* 10.5.4.1: ignored */
    s->initial_count = value;
    apic_timer_run(s, value, apic_timer_now(s));
}

static uint32_t apic_timer_count_at(const struct apic *s, int64_t now)
{
    if (apic_timer_mode(s->lvt[LVT_TIMER]) == LVT_TIMER_DEADLINE || !s->timer_from)
        return 0;
    int64_t gone = (now - s->timer_start) / apic_timer_step(s);
    return gone < s->timer_from ? s->timer_from - (uint32_t)gone : 0;
}

uint32_t apic_timer_count(const struct apic *s)
{
    return apic_timer_count_at(s, apic_timer_now(s));
}

/* What is left of the count goes on at the new speed. */
void apic_timer_write_divide(struct apic *s, uint32_t value)
{
    int64_t now = apic_timer_now(s);
    uint32_t left = apic_timer_count_at(s, now);
    s->divide = value & 0xb;
    if (apic_timer_mode(s->lvt[LVT_TIMER]) == LVT_TIMER_DEADLINE || !timer_is_set(&s->timer))
        return;
    if (left) {
        apic_timer_run(s, left, now);
    } else { /* has run out, and is about to fire */
        s->timer_start = now - (int64_t)s->timer_from * apic_timer_step(s);
        timer_set(&s->timer, now);
    }
}

/* Switching to or from TSC-deadline mode disarms the timer (10.5.4.1). */
void apic_timer_write_lvt(struct apic *s, uint32_t value)
{
    bool was = apic_timer_mode(s->lvt[LVT_TIMER]) == LVT_TIMER_DEADLINE;
    bool is = apic_timer_mode(value) == LVT_TIMER_DEADLINE;
    if (was == is)
        return;
    s->initial_count = s->timer_from = 0;
    s->tsc_deadline = 0;
    timer_cancel(&s->timer);
}

uint64_t apic_timer_deadline(const struct apic *s)
{
    return s->tsc_deadline;
}

void apic_timer_write_deadline(struct apic *s, uint64_t tsc)
{
    if (apic_timer_mode(s->lvt[LVT_TIMER]) != LVT_TIMER_DEADLINE)
        return; /* ignored, and reads as 0 */
    s->tsc_deadline = tsc;
    if (!tsc)
        timer_cancel(&s->timer);
    else if (s->port->pins && s->port->pins->tsc_deadline_ns)
        timer_set(&s->timer, s->port->pins->tsc_deadline_ns(s->port, tsc));
    apic_timer_traced(s);
}

void apic_timer_restore(struct apic *s, uint32_t left)
{
    unsigned mode = apic_timer_mode(s->lvt[LVT_TIMER]);
    s->tsc_deadline = 0;
    if (mode == LVT_TIMER_DEADLINE)
        left = 0;
    else if (mode == LVT_TIMER_PERIODIC && !left)
        left = s->initial_count;
    apic_timer_run(s, left, apic_timer_now(s));
}
