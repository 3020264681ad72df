/* The board that inputs of the fuzzer drive: a PC's buses and interrupt system around a target's
 * devices, with two cpus that only have pins, a serial line's and a network's far end. */
#pragma once

#include "char/chardev.h"
#include "dev/pci.h"
#include "dev/sysbus.h"
#include "hw_fixture.h"
#include "net/backends.h"

enum {
    BOARD_RAM = 0x100000,
    BOARD_IOAPIC = 0xfec00000,
    BOARD_APIC = 0xfee00000,
    /* Memory that holds nothing: each read gives the next bytes of the input. A device that reads a
     * descriptor twice gets two. */
    BOARD_CHANGING = 0xe0000000,
    BOARD_CHANGING_SIZE = 0x10000,
};

/* Bytes of an input that are not used up; beyond its end they are 0. */
struct input {
    const uint8_t *next, *end;
};

struct target;

struct board {
    struct hw *h;
    const struct target *target;
    struct input *in;
    struct region ram, below_4g, changing;
    struct device *host, *south, *splitter, *pic, *ioapic, *apic[FAKE_CPUS], *pm;
    struct pci_bus *pci;
    struct isa_bus *isa;
    struct chardev *chr;
    struct net *net;
    struct net_hub *hub;
    struct net_port peer;
    bool deaf;     /* the peer takes no frames */
    int64_t spent; /* virtual time */
};

struct window {
    uint32_t first, size; /* at most 64 KiB */
};

/* What is fuzzed: devices beside the board's own, and where accesses go. Lists end with 0. */
struct target {
    const char *name;
    void (*add)(struct board *b); /* NULL: it is on every board */
    /* After a reset: what firmware does, addresses. NULL: nothing. */
    void (*map)(struct board *b);
    /* Bring it to work as a driver would, for inputs that ask for it. NULL: there is nothing. */
    void (*warm)(struct board *b);
    struct window ports[8], memory[8];
    uint8_t functions[4]; /* devfn */
    bool msrs;
    int64_t step_ns; /* the longest step of time; one input may take sixteen such */
};
extern const struct target targets[];
const struct target *target_find(const char *name);

uint64_t input_take(struct input *in, unsigned bytes); /* little-endian */

struct board *board_new(const struct target *t, struct input *in);
void board_free(struct board *b);
/* Add a device, not yet reset, to the bus that its type asks for; pairs of property and text
 * follow, then NULL. */
struct device *board_add(struct board *b, const char *type, ...);
void board_config_write(struct board *b, unsigned devfn, unsigned offset, unsigned size,
                        uint32_t value);
uint32_t board_config_read(struct board *b, unsigned devfn, unsigned offset, unsigned size);

/* Run a whole input against `t` on a board of its own. */
void fuzz_one(const struct target *t, const uint8_t *data, size_t size);
