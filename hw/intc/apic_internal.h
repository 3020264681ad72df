/* A local APIC and the bus between several of them; apic.c tells which file has what. */
#pragma once

#include "dev/cpu_port.h"
#include "dev/device.h"
#include "dev/machine.h"
#include "mem/region.h"

#define APIC_DEFAULT_BASE 0xfee00000ULL

enum {
    APIC_PAGE = 0x1000,
    APIC_VECTORS = 256,
    APIC_LINTS = 2,
};

enum apic_delivery {
    APIC_FIXED,
    APIC_LOWEST,
    APIC_SMI,
    APIC_RESERVED,
    APIC_NMI,
    APIC_INIT,
    APIC_STARTUP,
    APIC_EXTINT,
};

/* IA32_APIC_BASE (SDM vol. 3 10.4.4). */
#define APIC_BASE_BSP    (1ULL << 8)
#define APIC_BASE_X2APIC (1ULL << 10)
#define APIC_BASE_ENABLE (1ULL << 11)
#define APIC_BASE_ADDR   0x000ffffffffff000ULL

enum {
    LVT_TIMER,
    LVT_THERMAL,
    LVT_PERF,
    LVT_LINT0,
    LVT_LINT1,
    LVT_ERROR,
    LVT_COUNT,
};

struct apic_bus;

struct apic {
    struct device dev;
    struct apic_bus *bus;
    struct cpu_port *port;
    struct region moved; /* its page when IA32_APIC_BASE says another place than the default */
    int32_t cpu, id_prop;
    struct device *extint;
    bool virtual_wire;
    /* state */
    uint64_t base;
    uint32_t id; /* of xAPIC: 8 bits in use */
    uint32_t tpr, ldr, dfr, svr, esr, esr_pending, icr_high, icr_low, divide;
    uint32_t lvt[LVT_COUNT];
    uint32_t irr[8], isr[8], tmr[8];
    bool lint[APIC_LINTS]; /* levels of the pins */
    bool extint_message;   /* an ExtINT came by message and waits */
    bool output;           /* the cpu's INTR */
    uint32_t initial_count;
    int64_t timer_start; /* virtual time at which the count was `timer_from` */
    uint32_t timer_from;
    uint64_t tsc_deadline;
    struct timer timer;
};

/* The APICs of a machine and what connects them. Made by the first APIC realized, gone with the
 * last. */
struct apic_bus {
    struct machine *machine;
    struct region msi; /* "apic-msi" */
    struct msi_sink sink;
    struct apic *apics[MACHINE_CPUS_MAX]; /* by cpu */
    unsigned count;
};

/* A message on its way. */
struct apic_message {
    uint32_t dest;
    bool wide; /* `dest` is an x2APIC's, with 32 bits */
    bool logical;
    uint8_t mode; /* enum apic_delivery */
    uint8_t vector;
    bool level; /* triggered */
};

/* Events, declared in apic.c. */
extern struct trace_table apic_trace;
enum {
    APIC_TRACE_ACCEPT,
    APIC_TRACE_SIGNAL,
    APIC_TRACE_ACK,
    APIC_TRACE_EOI,
    APIC_TRACE_ERROR,
    APIC_TRACE_ICR,
    APIC_TRACE_MSI,
    APIC_TRACE_TIMER_SET,
    APIC_TRACE_TIMER,
};

/* ---- apic_bus.c ---- */

struct apic_bus *apic_bus_join(struct apic *s);
void apic_bus_leave(struct apic *s);
/* What ICR says, with its shorthands. */
void apic_bus_send_icr(struct apic *s, uint64_t icr);

/* ---- apic_delivery.c ---- */

bool apic_is_enabled(const struct apic *s);          /* by IA32_APIC_BASE */
bool apic_is_software_enabled(const struct apic *s); /* by SVR too */
bool apic_is_x2(const struct apic *s);
uint32_t apic_x2_id(const struct apic *s);
uint8_t apic_ppr(const struct apic *s);
/* The interface interrupt-controller. */
int apic_acknowledge(struct device *d);
/* Does the 8259A's interrupt get through? */
bool apic_extint_waits(const struct apic *s);
/* Tell the cpu the level of INTR, whatever it was told before. */
void apic_drive(struct apic *s);
/* After whatever may change what the cpu is offered. */
void apic_update(struct apic *s);
/* Registers were set from outside: the cpu's INTR follows. */
void apic_changed(struct apic *s);
void apic_accept(struct apic *s, uint8_t mode, uint8_t vector, bool level);
void apic_accept_fixed(struct apic *s, uint8_t vector, bool level);
void apic_error(struct apic *s, uint32_t bit);
/* The pins LINT0 and LINT1; `opaque` is the APIC. */
void apic_set_lint(void *opaque, int n, bool level);
void apic_service_level(struct apic *s, int n);
void apic_eoi(struct apic *s);
void apic_reset_registers(struct apic *s);

/* ---- apic_regs.c ---- */

uint32_t apic_page_read(struct apic *s, unsigned offset);
void apic_page_write(struct apic *s, unsigned offset, uint32_t value);
/* By register (apic_regs.h), in either mode. False: no such register, or not readable or writable
 * there. */
bool apic_read_register(struct apic *s, unsigned reg, uint32_t *value);
bool apic_write_register(struct apic *s, unsigned reg, uint32_t value);
extern const uint32_t apic_lvt_writable[LVT_COUNT];

/* ---- apic_msr.c ---- */

extern const struct local_apic_ops apic_local_ops;
/* Map the page where IA32_APIC_BASE says. */
void apic_place_page(struct apic *s);

enum {
    APIC_ESR_SEND_VECTOR = 1 << 5,
    APIC_ESR_RECEIVE_VECTOR = 1 << 6,
    APIC_ESR_REGISTER = 1 << 7
};

/* ---- apic_timer.c ---- */

void apic_timer_init(struct apic *s);
void apic_timer_reset(struct apic *s);
void apic_timer_write_count(struct apic *s, uint32_t value);
uint32_t apic_timer_count(const struct apic *s);
void apic_timer_write_divide(struct apic *s, uint32_t value);
/* The LVT entry is about to change. */
void apic_timer_write_lvt(struct apic *s, uint32_t value);
uint64_t apic_timer_deadline(const struct apic *s);
void apic_timer_write_deadline(struct apic *s, uint64_t tsc);

/* Registers were set from outside: go on with what is left of the count. */
void apic_timer_restore(struct apic *s, uint32_t left);

/* The timer has run out: what its LVT entry says happens. */
void apic_timer_expired(struct apic *s);

/* ---- apic_state.c ---- */

void apic_get_page(struct device *d, uint8_t page[LOCAL_APIC_STATE]);
void apic_set_page(struct device *d, const uint8_t page[LOCAL_APIC_STATE]);
