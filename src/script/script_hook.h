/* Hooks that scripts put on a machine with vm:on(): the object, and the kinds of events.
 *
 * A hook is one Lua function on one event, with a filter decided in C. l_hook.c has the object and
 * what is common; the hook_*.c files install kinds: hook_cpu.c what cpus do, hook_access.c memory,
 * ports, lines and links, hook_time.c counts and clocks. The table of scripting semantics is in
 * docs/hooks.md. */
#pragma once

#include "mem/tap.h"
#include "net/link.h"
#include "script/binding.h"
#include "vm/events.h"

struct script_hook;

struct hook_kind {
    const char *event;       /* first argument of vm:on() */
    const char *const *keys; /* of the filter, ends with NULL; on_error and name besides */
    /* Read the filter at `filter` (a table) and begin to tell. Raises before anything is acquired.
     */
    void (*install)(lua_State *L, struct script_hook *h, int filter);
    void (*uninstall)(struct script_hook *h);
};

/* The userdata of a hook. While it is installed the machine's table of hooks keeps it. */
struct script_hook {
    struct binding_object self; /* must stay the first member */
    struct script_vm *svm;
    struct script_hook *next, **at; /* all that are installed, in order of adding */
    const struct hook_kind *kind;
    struct hook hook;
    bool installed;
    bool nested;      /* told of what other hooks do, too */
    unsigned calling; /* its function is running, so many levels deep */
    uint64_t hits, errors;
    int64_t cost_ns;  /* as they were when it was removed */
    struct vcpu *cpu; /* that it was told of last; its handle is cpu_ref of the registry */
    int cpu_ref;
    struct script_hook *chain; /* the next one on the same line or state */
    union {
        struct vm_event event;
        struct {
            struct timer timer;
            int64_t period; /* 0: once */
        } time;
        struct {
            struct region tap;
            struct tap_ops ops;
        } access;
        struct {
            struct device *device;
            struct address_space *as; /* NULL: gone with the device */
            struct space_tap tap;
            bool reads, writes;
        } dma;
        struct irq *irq;
        struct {
            struct net_link *link;
            struct net_tap tap;
            int from; /* -1: both ends */
        } packet;
        struct {
            struct chardev *chardev;
            struct chardev_tap tap;
            char *text; /* what is waited for, or NULL: lines */
            size_t text_len;
            char window[4096]; /* the last bytes that no match has used up */
            size_t used;
        } serial;
        char *state; /* which one, NULL: all */
        struct trace_listener trace;
    };
};

/* Call its function unless one of the machine's hooks is running already: what a hook does itself
 * fires none but those that are `nested`, and never itself. True if it was called and did not
 * raise. */
bool script_hook_call(struct script_hook *h, hook_push_fn push, hook_take_fn take, void *opaque);

/* Stop telling; safe at any time, its own callback included. */
void script_hook_remove(struct script_hook *h);

/* Remove hooks on lines that are gone. */
void script_hooks_sweep(struct script_vm *svm);

/* At the end of a machine, before its parts go. */
void script_hooks_remove_all(struct script_vm *svm);

/* An integer of the filter, left popped. `fallback` NULL: it must be there. */
lua_Integer filter_integer(lua_State *L, int filter, const char *key, const lua_Integer *fallback);

/* A key that is an integer (or text that names an address) or { first, last }. False: it is not
 * there. */
bool filter_range(lua_State *L, int filter, const char *key, uint64_t *first, uint64_t *last);

/* The machine's own userdata. */
void script_push_vm(lua_State *L, struct script_vm *svm);

/* filter_range(), and text is a symbol: "do_sys_openat2", "name+0x10". */
bool filter_address(lua_State *L, struct script_vm *svm, int filter, const char *key,
                    uint64_t *first, uint64_t *last);

/* What the function returned, at index 1: "stop" pauses the machine, and is remembered. */
bool hook_says_stop(lua_State *L, struct script_hook *h);

extern const struct hook_kind hook_exec, hook_exception, hook_msr, hook_cpuid, hook_gva_read,
    hook_gva_write;
extern const struct hook_kind hook_read, hook_write, hook_pio, hook_irq, hook_packet, hook_serial;
extern const struct hook_kind hook_insn, hook_state, hook_trace, hook_dma;

/* vm:at(), vm:every() */
int l_vm_at(lua_State *L);
int l_vm_every(lua_State *L);
int l_vm_on(lua_State *L);
int l_vm_hooks(lua_State *L);
int l_vm_supports(lua_State *L);
void l_hook_open(lua_State *L);

/* A hook of a kind that has no filter of its own (timers): pushes the handle. `fn` is the index of
 * the function. */
struct script_hook *script_hook_new(lua_State *L, struct script_vm *svm,
                                    const struct hook_kind *kind, int fn);
void script_hook_installed(struct script_hook *h);

#define META_HOOK "perilune.hook"
