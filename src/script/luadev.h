/* Devices whose type is written in Lua.
 *
 * A definition (the table given to device.define) is read once per machine into a struct
 * luadev_type, a userdata that the machine's record keeps until the machine is gone; it begins
 * with the struct device_type that the type registry gets. An instance is that of its parent type
 * with a struct luadev behind it, then the hooks, values, properties and state that the definition
 * asks for. Plain registers are served in C by dev/reg.h; functions are entered by hook_call().
 * l_luadev_type.c, _field.c and _window.c read definitions, luadev.c is the life of an instance and
 * its callbacks, l_luadev_object.c, _method.c, _timer.c and _i2c.c what Lua sees as `dev`.
 * docs/devices-lua.md is the manual. Machine lock. */
#pragma once

#include "dev/i2c.h"
#include "dev/machine.h"
#include "dev/pci.h"
#include "dev/reg.h"
#include "dev/sysbus.h"
#include "script/binding.h"

enum {
    LUADEV_WINDOWS = 6,
    LUADEV_TIMERS = 16,
    LUADEV_LISTS = 8,          /* kinds of gpio inputs, and of outputs */
    LUADEV_LINES = 256,        /* in one of them */
    LUADEV_REGISTERS = 4096,   /* in all, arrays counted in full */
    LUADEV_PROPS = 128,        /* the built-in ones included */
    LUADEV_STATE_MAX = 1 << 20 /* bytes of one state field */
};

enum luadev_parent { LUADEV_DEVICE, LUADEV_SYSBUS, LUADEV_ISA, LUADEV_PCI, LUADEV_I2C };

/* A function of the definition; LUA_NOREF: none. */
struct luadev_fn {
    char *name; /* "edu-uart register DATA write": for messages */
    int ref;
};

/* Indices in luadev_type.fns, -1: none. */
struct luadev_window_type {
    char *name;
    bool io; /* ports, not memory */
    uint64_t size;
    int bar;      /* of a PCI device */
    int bar_kind; /* enum pci_bar_kind */
    int read, write;
    struct region_ops ops;
    struct reg *regs;
    int *reg_fns;      /* two per row: read, write */
    size_t reg_count;  /* rows */
    size_t first_slot; /* in the device's register values */
};

struct luadev_list {
    char *name;
    unsigned count, first; /* first: of its outputs among all */
    int changed;
};

struct luadev_timer_type {
    char *name;
    int fire;
};

/* What a reset does to a state field. */
struct luadev_state_rule {
    uint64_t value; /* of scalars; bytes become 0 */
    bool keep;      /* only when the device is made, not at a reset */
};

struct luadev_type {
    struct device_type type; /* must stay the first member */
    struct pci_class pci;
    struct i2c_class i2c;
    struct script_vm *svm; /* NULL: only read to be checked */
    struct universe *universe;
    enum luadev_parent parent;
    enum hook_policy on_error;
    char *where; /* file and line of the definition */
    int spec;    /* the definition, in the registry */
    int fields;  /* { name = what dev.name is }, in the registry: see l_luadev_object.c */
    int regs;    /* { name = { window, row } packed in an integer } */
    struct prop *props;
    int prop_changed[LUADEV_PROPS]; /* functions for live changes */
    size_t prop_count, prop_cap;
    struct state_field *state;
    size_t state_count, state_cap;
    struct luadev_state_rule *state_rules; /* of the fields that the definition names */
    struct luadev_window_type windows[LUADEV_WINDOWS];
    unsigned window_count;
    struct luadev_list in[LUADEV_LISTS], out[LUADEV_LISTS];
    unsigned in_count, out_count, out_lines;
    struct luadev_timer_type timers[LUADEV_TIMERS];
    unsigned timer_count;
    unsigned irqs;
    size_t slots; /* registers */
    int realize, unrealize, reset, receive, room, config_written;
    int i2c_start, i2c_send, i2c_receive, i2c_stop; /* of a device on an I2C bus */
    char *i2c_bus;                                  /* the bus that it provides; NULL: none */
    bool has_chardev;
    struct luadev_fn *fns;
    size_t fn_count, fn_cap;
    void **owned; /* freed with it */
    size_t owned_count, owned_cap;
    /* Offsets in an instance. */
    size_t ext, hooks, values, lines, data, size;
    /* The built-in properties, as 1 + index in `props`; 0: it has none. */
    size_t addr, iobase, irq, chardev;
};

struct luadev_window {
    struct region region;
    struct reg_bank bank;
    struct device *d;
    const struct luadev_window_type *type;
    bool made;
};

struct luadev_timer {
    struct timer timer;
    struct device *d;
    unsigned n;
};

/* The part of an instance behind that of its parent type. */
struct luadev {
    int self; /* `dev`, in the registry; LUA_NOREF: gone */
    struct luadev_window windows[LUADEV_WINDOWS];
    struct luadev_timer timers[LUADEV_TIMERS];
    struct irq *isa_irq;
    struct i2c_bus i2c_bus; /* when the definition has one, while realized */
    struct chardev_front front;
    bool attached;
};

#define META_LUADEV "perilune.dev"

static inline struct luadev_type *luadev_type_of(const struct device *d)
{
    return (struct luadev_type *)d->type;
}

static inline struct luadev *luadev_of(struct device *d)
{
    return (struct luadev *)((char *)d + luadev_type_of(d)->ext);
}

static inline struct hook *luadev_hooks(struct device *d)
{
    return (struct hook *)((char *)d + luadev_type_of(d)->hooks);
}

/* Values of all registers, window after window. */
static inline uint32_t *luadev_values(struct device *d)
{
    return (uint32_t *)((char *)d + luadev_type_of(d)->values);
}

/* Outputs: first `irqs` interrupt lines, then those of gpio_out. */
static inline struct irq **luadev_lines(struct device *d)
{
    return (struct irq **)((char *)d + luadev_type_of(d)->lines);
}

/* The life of an instance, for struct device_type. */
bool luadev_init(struct device *d, struct error *err);
bool luadev_realize(struct device *d, struct error *err);
void luadev_unrealize(struct device *d);
void luadev_reset(struct device *d);
void luadev_finalize(struct device *d);
void luadev_config_written(struct pci_device *p, unsigned offset, uint32_t value, unsigned size);
bool luadev_prop_changed(struct device *d, const struct prop *p, struct error *err);
extern const struct i2c_class luadev_i2c_class;
uint64_t luadev_window_read(void *opaque, uint64_t offset, unsigned size);
void luadev_window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size);
/* Of a register with a function; `opaque` is the window, which says which row is accessed. */
uint32_t luadev_reg_read(void *opaque, unsigned index);
void luadev_reg_write(void *opaque, unsigned index, uint32_t value);

/* Pushes the `dev` of a new instance. */
void luadev_push_object(lua_State *L, struct device *d);
/* The live device of `dev`, the first argument; raises otherwise. */
struct device *luadev_check(lua_State *L);
/* What names mean after `dev.`: pushes the table of a type. */
void luadev_push_fields(lua_State *L, const struct luadev_type *t);

/* Metatables. */
void l_luadev_type_open(lua_State *L);
/* Put the tables of definitions into the list of all types. */
void luadev_document_keys(lua_State *L);
