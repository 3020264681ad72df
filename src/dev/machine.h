/* What a device sees of the machine around it.
 *
 * The VM owns and fills this; devices borrow it. It is an interface in data: clocks, the address
 * spaces of a PC, the door, the cpus' ports, and what a device may ask of the machine. */
#pragma once

#include "dev/bus.h"
#include "loop/clock.h"
#include "loop/door.h"
#include "mem/address_space.h"

struct cpu_port;
struct loop;

enum { MACHINE_CPUS_MAX = 16 };

/* What a device can ask for. It happens at the next safe point, between two instructions. */
enum machine_request {
    REQUEST_RESET,        /* the reset line: everything starts again */
    REQUEST_POWEROFF,     /* the guest switched itself off */
    REQUEST_EXIT,         /* end the run with `code` as exit status: isa-debug-exit */
    REQUEST_SUSPEND,      /* sleep state S3 */
    REQUEST_TRIPLE_FAULT, /* a cpu shut down */
    REQUEST_PAUSE,        /* stop and let the user look: breakpoints, failing scripts */
};

struct machine_ops {
    void (*request)(struct machine *m, enum machine_request what, int code, const char *who);
};

/* Who has a PC's interrupt controllers and its timer: the machine's own devices; the host's kernel
 * the local APICs; or the kernel all of them. */
enum irqchip { IRQCHIP_USER, IRQCHIP_SPLIT, IRQCHIP_KERNEL, IRQCHIP_AUTO };

/* Told when an interrupt of `vector` has been ended (EOI) by a local APIC: I/O APICs listen. */
struct eoi_listener {
    void (*eoi)(void *opaque, unsigned vector);
    void *opaque;
    struct eoi_listener *next;
};

/* Where message-signalled interrupts go: installed by the first local APIC. `addr` and `data` as in
 * SDM vol. 3 10.11. */
struct msi_sink {
    void (*deliver)(void *opaque, uint64_t addr, uint32_t data);
    /* Level-triggered input `gsi` of an I/O APIC sends this message from now on; `addr` 0: none.
     * NULL: whoever delivers sees by itself what has to be ended. */
    void (*route)(void *opaque, unsigned gsi, uint64_t addr, uint32_t data);
    void *opaque;
};

struct machine {
    struct loop *loop;
    struct type_registry *types;
    struct mem *mem;
    struct trace *trace;    /* the owner's; NULL: nobody can listen */
    struct region system;   /* root of `memory`: "system" */
    struct region io_ports; /* root of `io`: "io", 64 KiB */
    /* What a cpu in system management mode sees: `system`, and over it what chipsets put into `smm`
     * (SMRAM). Without that the views are one. */
    struct region smm, smm_system;
    struct address_space *memory, *io, *smm_memory;
    struct clock virtual, virtual_rt, host; /* see loop/clock.h; loop_realtime() is the fourth */
    struct door *door;
    struct bus main_bus; /* "main-system-bus" */
    struct device *devices, **devices_tail;
    struct device *dead_devices;  /* retired: only their memory is left */
    struct gpio_list *dead_lines; /* inputs of devices that are gone: they lead nowhere */
    struct cpu_port *cpus[MACHINE_CPUS_MAX];
    unsigned cpu_count;
    /* The cpu on whose behalf a device is being accessed right now; NULL for DMA and scripts. */
    struct cpu_port *current_cpu;
    struct eoi_listener *eoi_listeners;
    const struct msi_sink *msi; /* NULL: messages are lost */
    enum irqchip irqchip;       /* what is wanted; once there is a cpu, never IRQCHIP_AUTO */
    int64_t epoch_ns; /* time of day at virtual time 0, ns since 1970: the RTC counts from it */
    uint64_t seed;    /* where random numbers given to the guest start */
    const struct machine_ops *ops;
    void *owner;
};

/* Prepare everything but ops, owner, trace, door and clocks' sources, which the owner has set;
 * makes the roots, the address spaces "memory", "I/O" and "cpu-smm", and the main bus. */
void machine_init(struct machine *m, struct loop *loop, struct type_registry *types);

/* Unrealizes all devices, then frees them, each in reverse order of creation. */
void machine_free_devices(struct machine *m);

/* machine_free_devices(), and what machine_init made. */
void machine_fini(struct machine *m);

/* Reset every realized device: in order of creation those on the main bus or on none, each after
 * what sits on its own buses. */
void machine_reset_devices(struct machine *m);

static inline void machine_request(struct machine *m, enum machine_request what, int code,
                                   const char *who)
{
    m->ops->request(m, what, code, who);
}

void machine_add_eoi_listener(struct machine *m, struct eoi_listener *l);
void machine_remove_eoi_listener(struct machine *m, struct eoi_listener *l);
void machine_eoi(struct machine *m, unsigned vector);

/* A message from a chip (I/O APIC, PCI device). Not the same as a store by a cpu: that one may mean
 * the cpu's own local APIC, which lives at the same address. */
static inline void machine_deliver_msi(struct machine *m, uint64_t addr, uint32_t data)
{
    if (m->msi)
        m->msi->deliver(m->msi->opaque, addr, data);
}

static inline void machine_route_msi(struct machine *m, unsigned gsi, uint64_t addr, uint32_t data)
{
    if (m->msi && m->msi->route)
        m->msi->route(m->msi->opaque, gsi, addr, data);
}
