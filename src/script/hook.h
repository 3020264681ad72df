/* Hooks: the only way from C into Lua.
 *
 * hook_call() runs a Lua function in protected mode on a Lua thread of the calling OS thread, with
 * the machine lock held, within a budget of instructions and memory. What happens when it raises is
 * the hook's policy; whatever it does, the caller gets control back. A hook may not yield and may
 * not wait. */
#pragma once

#include "script/lua_state.h"

/* What happens after a hook has raised. The error is reported once, with a traceback. */
enum hook_policy {
    HOOK_PAUSE,   /* pause the machine, so that somebody can look; the hook stays */
    HOOK_DISABLE, /* the hook is not called again */
    HOOK_ABORT,   /* end the machine's run */
};

/* How a hook reaches the machine it belongs to. */
struct hook_target {
    void (*pause)(void *opaque, const char *why); /* NULL: nothing to pause; it is reported */
    void (*abort)(void *opaque, const char *why, int status);
    void *opaque;
};

struct hook {
    struct universe *universe;
    char *name;        /* for messages */
    int ref;           /* of the function, in the registry */
    int subject;       /* of what it is about, there too: see hook_set_subject() */
    uint64_t prepared; /* levels with this number have both on their stack; 0: none has */
    enum hook_policy on_error;
    const struct hook_target *target; /* NULL: pause and abort only report */
    uint64_t budget;                  /* 0: the universe's */
    bool disabled;
    bool plain; /* its push and take only move numbers and values there are: nothing can raise */
    uint64_t hits, errors;
    uint64_t cost_ticks; /* spent in it in all; see hook_cost_ns() */
};

/* What push and take find on the stack. Between calls it stays there. */
enum { HOOK_FUNCTION = 2, HOOK_SUBJECT = 3, HOOK_RESULT = 4 };

/* Make a hook of the function at `index` of `L`. In protected code. */
void hook_init(struct hook *h, lua_State *L, int index, const char *name, enum hook_policy on_error,
               const struct hook_target *target);
/* Lock held; safe while the hook runs, and on a zeroed struct. */
void hook_fini(struct hook *h);

/* A value that its functions find at HOOK_SUBJECT in each call: `ref`, of the registry, is the
 * caller's to free, after another one was set or hook_forget(). LUA_REFNIL: nil, as at first. */
void hook_set_subject(struct hook *h, int ref);

/* Its function or its subject is going: nothing keeps them on a stack any more. hook_fini() does
 * it. */
void hook_forget(struct hook *h);

/* Nanoseconds spent in it in all. An estimate: of many calls a few are timed. */
int64_t hook_cost_ns(const struct hook *h);

/* Push arguments: in protected code, with room for LUA_MINSTACK - 1 values. Returns how many. NULL:
 * the subject alone, if there is one. */
typedef int (*hook_push_fn)(lua_State *L, void *opaque);
/* Take the results, at indices HOOK_RESULT to lua_gettop: in protected code. Not called when there
 * are none. */
typedef void (*hook_take_fn)(lua_State *L, void *opaque);

/* Call it. `push` and `take` may be NULL. True if it was called and did not raise. When `failed` is
 * not NULL it gets the error instead of the policy. */
bool hook_call(struct hook *h, hook_push_fn push, hook_take_fn take, void *opaque,
               struct error *failed);

/* It was called, and did not raise, but what it returned is wrong: an error of the hook, to which
 * the place of its function is added. */
__attribute__((format(printf, 3, 4))) void hook_complain(struct hook *h, struct error *failed,
                                                         const char *fmt, ...);

/* Run `body(L, opaque)` as main code on the calling thread: protected, no instruction budget, may
 * wait. Returns a Lua status; the error object or the results are left on *out, which hook_leave()
 * ends. */
int hook_enter_main(struct universe *u, lua_CFunction body, void *opaque, lua_State **out);
void hook_leave(struct universe *u);

/* For luv_set_callback. */
int hook_luv_callback(lua_State *L, int nargs, int nresults, int flags);

/* ---- error objects ---- */

/* Raise `err` as an error object that prints itself, prefixed with where the Lua caller is. */
int script_raise(lua_State *L, const struct error *err);

/* What an error value is: its kind and status. Leaves the stack as it was. */
enum script_error_kind { SCRIPT_ERROR_OTHER, SCRIPT_ERROR_CONFIG, SCRIPT_ERROR_HOST, SCRIPT_EXIT };
enum script_error_kind script_error_kind(lua_State *L, int index, int *status);

/* Does it say by itself what is wrong and where. */
bool script_is_error_object(lua_State *L, int index);

#define SCRIPT_ERROR_META "perilune.error"
