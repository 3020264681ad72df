/* What the binding files share: object handles, argument checks, and what a machine made by a
 * script owns.
 *
 * Every object that Lua sees is a userdata that holds a pointer into a machine, and keeps the
 * machine's record alive. Closing the machine clears the record: every handle then raises "closed
 * device" (or whatever it was). The same object is the same userdata as long as Lua holds it. */
#pragma once

#include "boot/boot.h"
#include "char/chardev.h"
#include "dev/device.h"
#include "dev/isa.h"
#include "net/backends.h"
#include "script/hook.h"
#include "script/script.h"
#include "vm/vm.h"

#include <lauxlib.h>

struct script_region {
    struct region r; /* must stay the first member */
    struct script_region *next;
};

/* An IRQ line whose sink is the script: for tests, and to look at what a device drives. */
struct script_line {
    struct irq irq; /* must stay the first member */
    struct script_line *next;
};

struct script_chardev {
    struct chardev *c;
    struct hook output; /* sees what the guest writes */
    struct chardev_tap output_tap;
    struct hook input, event; /* of a front end in Lua */
    struct chardev_front front;
    struct script_history *history; /* the end of what was written: see script_hook.h */
    struct script_chardev *next;
};

/* What every handle begins with. */
struct binding_object {
    struct script_vm *svm;
    void *p;
};

/* One machine and what scripts have added to it: the "perilune.vm" userdata. Anchored in the
 * registry while it is open; other handles keep it by a user value. */
struct script_vm {
    struct binding_object self; /* must stay the first member */
    struct vm *vm;              /* NULL: closed */
    bool closing;
    struct script *script;
    struct script_vm *next;
    struct hook_target target; /* how hooks pause and end it */
    uint64_t hook_orders;      /* given to hooks in chains, in order of adding */
    struct hook boot;          /* called at every reset */
    struct boot_report boot_report;
    bool booted;                   /* boot_report says how */
    struct script_region *regions; /* newest first */
    struct script_line *lines;
    struct script_chardev *chardevs, **chardevs_tail;
    struct script_pcap *pcaps;      /* dumps, in order of creation: see l_dump.c */
    struct script_leaving *leaving; /* devices that a hook has removed: see l_topology.c */
    bool was_reset; /* what comes now comes to a machine that is there, and is reset at once */
    struct script_hook *hooks, **hooks_tail, *state_hooks, *symbol_hooks; /* see script_hook.h */
    const struct script_hook *stopped_by; /* the one that has paused it last; only to compare */
    struct script_trace *traces;          /* outputs; see l_trace.c */
    struct script_symbols *symbols;       /* NULL: none were asked for */
    char *kernel_path;                    /* of the last load_boot; NULL: none */
    bool advancing;                       /* vm:advance() is under way */
    bool in_hook;                         /* one of them is running: what it does fires none */
};

struct script {
    struct universe *universe;
    struct loop *loop;
    struct script_vm *vms; /* open ones, newest first */
    struct hook_target target;
    struct script_terminal *terminal; /* the monitor's; NULL: there is none */
    int exit_status;
    bool exit_requested;
};

/* ---- types ---- */

/* A property or a method: what serves it is also what describes it. */
struct binding_member {
    const char *name;      /* NULL ends a table */
    lua_CFunction fn;      /* the method, or what pushes the property's value. NULL: a method that
                            * is written in Lua */
    const char *signature; /* "(addr, size) → value" of a method, the type of a property */
    const char *help;      /* one line */
    lua_CFunction set;     /* of a property: (object, name, value); NULL: read-only */
};

/* One kind of object. Methods and properties are looked up first, then `get` (with the object and
 * the name on the stack; 0 results: unknown). */
struct binding_type {
    const char *meta;                          /* "perilune.device" */
    const char *label;                         /* "device": for messages */
    const char *help;                          /* one line: what it stands for */
    const struct binding_member *methods;      /* may be NULL */
    const struct binding_member *properties;   /* in the order of pairs(), or keys; may be NULL */
    const char *signature;                     /* of an event: how its function is called */
    lua_CFunction get, set;                    /* further properties by name; may be NULL */
    const char *const *(*names)(lua_State *L); /* of those further properties; may be NULL */
    const char *further;                       /* what those are; may be NULL */
    const char *module; /* adds the methods that have no function; loaded on first use */
    lua_CFunction tostring;
    /* Does the machine still have the object at this address? For binding_sweep(); NULL: always. */
    bool (*alive)(struct script_vm *svm, const void *p);
};

/* Make the metatable. */
void binding_type_new(lua_State *L, const struct binding_type *t);

/* The same for userdata of another kind than struct binding_object: methods, and what frees it (may
 * be NULL). */
void binding_plain_type_new(lua_State *L, const struct binding_type *t, lua_CFunction gc);

/* All types: a list of light userdata in the registry. */
#define BINDING_TYPES "perilune.binding-types"

/* Put what is made in another way into the list of all types. Label "module" is for modules,
 * "table" for tables that a function takes, "event" for filters of hooks: their members are keys.
 */
void binding_document(lua_State *L, const struct binding_type *t);

/* The functions of the methods that are written in Lua, from the table { name = function } at
 * `index`. */
void binding_add_methods(lua_State *L, const struct binding_type *t, int index);

/* Put methods into the table on top of the stack. */
void binding_set_functions(lua_State *L, const struct binding_member *list);

/* api() → { { name, label, help, signature, further, members = { { name, kind, signature, help,
 * writable } } } } */
int l_core_api(lua_State *L);

/* Push the handle of `p`, nil for NULL. */
void binding_push(lua_State *L, struct script_vm *svm, const char *meta, void *p);

/* The object at `index`; raises for anything else and for an object of a closed machine. */
struct binding_object *binding_check(lua_State *L, int index, const char *meta);

static inline void *binding_ptr(lua_State *L, int index, const char *meta)
{
    return binding_check(L, index, meta)->p;
}

/* Its machine, or what it stood for, is gone. */
bool binding_is_closed(const struct binding_object *o);

/* Parts have gone from the machine: close the handles of those that it no longer has, and remove
 * hooks on their lines. */
void binding_sweep(lua_State *L, struct script_vm *svm);

/* Is the device at this address one of the machine's? */
bool script_device_alive(struct script_vm *svm, const struct device *d);

/* Is it an input of a device that is there, or a line made by m:line()? */
bool script_line_alive(struct script_vm *svm, const struct irq *irq);

/* The open machine behind a vm or machine object. */
struct script_vm *binding_any_vm(lua_State *L, int index);

/* The open machine behind the object at `index`. */
struct script_vm *binding_vm(lua_State *L, int index, const char *meta);

#define META_VM      "perilune.vm"
#define META_MACHINE "perilune.machine"
#define META_DEVICE  "perilune.device"
#define META_BUS     "perilune.bus"
#define META_REGION  "perilune.region"
#define META_SPACE   "perilune.space"
#define META_IRQ     "perilune.irq"
#define META_CPU     "perilune.cpu"
#define META_PORT    "perilune.port"
#define META_LINK    "perilune.link"
#define META_HUB     "perilune.hub"
#define META_CHARDEV "perilune.chardev"
#define META_CLOCK   "perilune.clock"
#define META_TRACE   "perilune.trace_output"
#define META_DUMP    "perilune.dump"
#define META_CLUSTER "perilune.cluster_core"

/* ---- arguments ---- */

/* A number of bytes: an integer, or text such as "512M". */
uint64_t check_size(lua_State *L, int index);

/* Nanoseconds: an integer that is not negative, or text such as "30s", "1.5ms", "20us", "100ns". */
int64_t check_duration(lua_State *L, int index);

/* 1, 2, 4 or 8. */
unsigned check_access_size(lua_State *L, int index);

/* A value as a property takes it; the names of network and character backends are looked up. Raises
 * for what no property can hold. */
struct prop_value check_prop_value(lua_State *L, int index, struct script_vm *svm,
                                   const struct prop *p);
void push_prop_value(lua_State *L, struct script_vm *svm, const struct prop *p,
                     const struct prop_value *v);

/* The string in field `name` of the table at `index`, left on the stack; NULL (nil left) when it is
 * not there. */
const char *table_string(lua_State *L, int index, const char *name);
bool table_bool(lua_State *L, int index, const char *name);

/* Raise if the table at `index` has a key that is not in `known`. `what` names the table. */
void check_keys(lua_State *L, int index, const char *what, const char *const *known);

/* The number of the name at the top of the stack in `names`; nil stands for `def`, if that is not
 * NULL. Raises with the names that there are. `what` is said first. */
int check_choice(lua_State *L, const char *what, const char *def, const char *const *names);

/* The names of `list` in `names`, which has room for `room`, and NULL. Returns how many there are.
 */
size_t binding_key_names(const struct binding_member *list, const char **names, size_t room);

/* map(addr, region [, priority]) of a region or space (index 1) whose root is `parent`. */
int region_map_into(lua_State *L, struct region *parent);

/* { { start, last, offset, priority, kind, name }, ... } of a view. */
void push_flat_ranges(lua_State *L, const struct flatview *v);

/* The keys of the table at absolute index `table`, sorted, as a new table: what happens must not
 * depend on hashing. Raises for keys that are not strings. */
void push_sorted_keys(lua_State *L, int table);

/* The name of a device type given by name, or by a definition (device.define), which is made known
 * to the machine if need be. */
const char *luadev_type_name(lua_State *L, int index, struct script_vm *svm);

/* Pushes the type of the definition at `index`, which belongs to no machine; valid while it is on
 * the stack. */
const struct device_type *luadev_push_type(lua_State *L, int index);

/* Create a device on a bus (NULL: found by its type); the table at `props` (0: none) has its
 * properties. Pushes it. */
int binding_new_device(lua_State *L, struct script_vm *svm, const char *type, int props,
                       struct bus *bus);

/* ---- machines ---- */

struct script_vm *script_vm_new(lua_State *L, const struct vm_config *config);
void script_vm_close(struct script_vm *svm);
/* Around what may wait for vcpus on behalf of Lua: others may enter Lua meanwhile, and hooks of the
 * machine are called. */
struct script_aside {
    struct lua_frame *frame;
    bool in_hook;
};
struct script_aside script_put_aside(struct script_vm *svm);
void script_take_up(struct script_vm *svm, struct script_aside saved);
void script_free_dumps(struct script_vm *svm);
void script_forget_leaving(struct script_vm *svm);
struct script_chardev *script_find_chardev(struct script_vm *svm, const char *id);
void script_chardev_free(struct script_chardev *s);
/* What a front end attaches to that names `c`: itself, or at a mux a new port. */
struct chardev *script_chardev_end(struct script_vm *svm, struct chardev *c);
const char *prop_kind_name(enum prop_kind kind);

/* ---- the files' parts: each makes its metatables ---- */
void l_vm_open(lua_State *L);
void l_machine_open(lua_State *L);
void l_device_open(lua_State *L);
void l_bus_open(lua_State *L);
void l_region_open(lua_State *L);
void l_space_open(lua_State *L);
void l_dirty_open(lua_State *L);
void l_irq_open(lua_State *L);
void l_cpu_open(lua_State *L);
void l_net_open(lua_State *L);
void l_chardev_open(lua_State *L);
void l_clock_open(lua_State *L);
void l_dump_open(lua_State *L);
void l_luadev_open(lua_State *L);
void l_terminal_open(lua_State *L);
void l_trace_open(lua_State *L);
void l_cluster_open(lua_State *L);
int luaopen_perilune_core(lua_State *L);
int luaopen_perilune_json(lua_State *L);

/* A machine has left the cluster: without any it need not be kept. */
struct cluster;
void script_cluster_left(lua_State *L, struct cluster *c);

/* The machine's backends are about to go. */
void script_terminal_forget(struct script_vm *svm);
int l_core_terminal(lua_State *L);
int l_core_listen(lua_State *L);

/* Methods that live in other files than their type. */
int l_device_info(lua_State *L);
int l_device_state(lua_State *L);
int l_vm_devices(lua_State *L);
int l_vm_device(lua_State *L);
int l_vm_spaces(lua_State *L);
int l_vm_find(lua_State *L);
int l_core_trace_events(lua_State *L);
int l_vm_trace(lua_State *L);
int l_vm_trace_output(lua_State *L);
int l_vm_traced(lua_State *L);
void script_traces_free(struct script_vm *svm);
int l_vm_load_boot(lua_State *L);
int l_vm_boot_report(lua_State *L);
int l_vm_load_raw(lua_State *L);
int l_region_dirty_log(lua_State *L);
int l_region_dirty(lua_State *L);
int l_space_dirty_log(lua_State *L);
int l_space_dirty(lua_State *L);
int l_machine_ram(lua_State *L);
int l_machine_rom(lua_State *L);
int l_machine_container(lua_State *L);
int l_machine_netdev(lua_State *L);
int l_machine_hub(lua_State *L);
int l_machine_link(lua_State *L);
int l_machine_dump(lua_State *L);
int l_machine_dumps(lua_State *L);
int l_machine_ports(lua_State *L);
int l_machine_batch(lua_State *L);
int l_device_remove(lua_State *L);
int l_port_remove(lua_State *L);
int l_machine_chardev(lua_State *L);
int l_machine_line(lua_State *L);
int l_machine_define(lua_State *L);
int l_core_check_device_type(lua_State *L);
int l_vm_links(lua_State *L);
int l_vm_net(lua_State *L);
int l_core_new_cluster(lua_State *L);
int l_vm_chardevs(lua_State *L);
int l_vm_chardev(lua_State *L);
