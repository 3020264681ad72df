/* Hooks that scripts put on a machine with vm:on(): the object, and the kinds of events.
 *
 * A hook is one Lua function on one event, with a filter decided in C. l_hook.c has the object,
 * hook_life.c its life; the other hook_*.c files install kinds: hook_cpu.c what cpus do,
 * hook_symbols.c where symbols are, hook_access.c memory, ports, lines and links, hook_serial.c
 * text, hook_time.c counts and clocks. The table of scripting semantics is in docs/hooks.md. */
#pragma once

#include "mem/tap.h"
#include "net/link.h"
#include "script/binding.h"
#include "vm/events.h"

struct script_hook;

struct hook_kind {
    const char *event; /* first argument of vm:on() */
    /* Read the filter at `filter` (a table) and begin to tell. Raises before anything is acquired.
     */
    void (*install)(lua_State *L, struct script_hook *h, int filter);
    void (*uninstall)(struct script_hook *h);
    struct binding_type doc; /* "event.NAME"; its properties are the filter's keys, on_error and
                              * name besides; its signature that of the function */
};

/* The description of an event: its name, its keys, its function's signature, help. */
#define HOOK_DOC(event, list, call, text)                                                    \
    {                                                                                        \
        .meta = "event." event, .label = "event", .properties = (list), .signature = (call), \
        .help = (text)                                                                       \
    }

/* The userdata of a hook. While it is installed the machine's table of hooks keeps it. */
struct script_hook {
    struct binding_object self; /* must stay the first member */
    struct script_vm *svm;
    struct script_hook *next, **at; /* all that are installed, in order of adding */
    const struct hook_kind *kind;
    struct hook hook;
    bool installed;
    char *symbol;     /* text that says where it is; NULL: it was not said by a symbol */
    bool pending;     /* it is not known yet where that is: not in the vm's table */
    bool follows;     /* that is a module's, or unknown, so that it may become a module's */
    bool nested;      /* told of what other hooks do, too */
    unsigned calling; /* its function is running, so many levels deep */
    uint64_t hits, errors;
    int64_t cost_ns;           /* as they were when it was removed */
    struct vcpu *cpu;          /* that it was told of last: its handle is the subject */
    struct script_hook *chain; /* the next one on the same line or state */
    uint64_t order;            /* in the chain */
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
            struct timer quiet; /* runs while a line is unfinished */
            int64_t quiet_ns;   /* 0: an unfinished line is not told */
            struct script_history *history;
            uint64_t seen; /* bytes of it that are no news */
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

/* Raises unless it may be added and removed now: not one on the cpus of a machine that runs, from
 * the thread of another machine, which never waits for them. */
void script_hook_check_reach(lua_State *L, const struct script_hook *h);

/* What the cpus serve it with; NULL: it is none of theirs, or there is but one way. */
const char *script_hook_means(const struct script_hook *h);

/* Remove hooks on lines that are gone. */
void script_hooks_sweep(struct script_vm *svm);

/* At the end of a machine, before its parts go. */
void script_hooks_remove_all(struct script_vm *svm);

/* An integer of the filter, left popped. `fallback` NULL: it must be there. */
lua_Integer filter_integer(lua_State *L, int filter, const char *key, const lua_Integer *fallback);

/* What the object of that type stands for; it must be there. */
void *filter_object(lua_State *L, int filter, const char *key, const char *meta);

/* A key that is an integer (or text that names an address) or { first, last }. False: it is not
 * there. */
bool filter_range(lua_State *L, int filter, const char *key, uint64_t *first, uint64_t *last);

/* The machine's own userdata. */
void script_push_vm(lua_State *L, struct script_vm *svm);

/* The table of events is the vcpus' own while they execute: somebody else who changes it has them
 * pause for that moment. Returns whether it has come to that. */
bool script_hold(struct script_vm *svm);
void script_let_go(struct script_vm *svm, bool held);
/* Not for a hook of another machine, which never waits for cpus that execute: ask before. */
bool script_may_hold(const struct script_vm *svm, struct error *err);

/* Symbols are elsewhere: move the hooks on them, and tell who listens. Cpus stand still. */
void script_hooks_resolve(struct script_vm *svm);

/* filter_range() into the hook's event; text is a symbol, "do_sys_openat2" or "name+0x10", which
 * the hook then follows. One that is unknown is an error, unless the filter says `pending`. */
bool script_filter_address(lua_State *L, struct script_hook *h, int filter, const char *key);

/* What the function returned at first: "stop" pauses the machine, and is remembered. */
bool hook_says_stop(lua_State *L, struct script_hook *h);

extern const struct hook_kind hook_exec, hook_exception, hook_msr, hook_cpuid, hook_gva_read,
    hook_gva_write;
extern const struct hook_kind hook_read, hook_write, hook_pio, hook_irq, hook_packet, hook_serial;
extern const struct hook_kind hook_insn, hook_state, hook_trace, hook_dma, hook_symbols;

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
/* It could not be installed. */
void script_hook_discard(struct script_hook *h);

/* Chains of hooks on one line or machine, in order of adding. A walk begins with order 0
 * and goes on after the order of the hook told last, up to the machine's hook_orders at its
 * beginning: hooks may come and go meanwhile. */
void script_chain_add(struct script_hook **head, struct script_hook *h);
void script_chain_remove(struct script_hook **head, struct script_hook *h);
struct script_hook *script_chain_after(struct script_hook *head, uint64_t order, uint64_t last);

/* Pushes what is still held of the text written since `from`, counted in bytes from the start;
 * returns how many bytes were ever written. */
uint64_t script_history_push(lua_State *L, const struct script_chardev *c, uint64_t from);
/* Begin to keep it, before anybody else listens; end that. */
void script_history_begin(struct script_chardev *c);
void script_history_free(struct script_chardev *c);

/* on_error of the table at `filter`. */
enum hook_policy script_check_policy(lua_State *L, int filter);

int luaopen_perilune_task_core(lua_State *L);
int l_vm_add_methods(lua_State *L);

#define META_HOOK "perilune.hook"
