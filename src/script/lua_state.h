/* The Lua universe: one Lua state for the process, entered by several OS threads in turn.
 *
 * docs/loop.md is the contract. Whoever enters holds the machine lock. Each OS thread runs Lua on
 * Lua threads of its own, one per level of nesting, so that stacks never interleave; they are
 * anchored in the registry. hook.h has the only way in. */
#pragma once

#include "base/bits.h"
#include "base/error.h"
#include "loop/loop.h"

#include <assert.h>
#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LUA_DEPTH_MAX = 8,       /* hooks within hooks on one OS thread */
    LUA_COUNT_QUANTUM = 1000 /* instructions between two looks at the budget */
};

struct universe_config {
    struct loop *loop;
    size_t memory_cap;    /* bytes that Lua may hold; 0: 1 GiB */
    uint64_t hook_budget; /* Lua instructions that one call of a hook may take; 0: 100 million */
    const char *log_name; /* who speaks when a script fails */
};

struct hook_target;

/* What limits the Lua code that runs now. On the C stack of hook_call; guarded by the machine lock.
 */
struct lua_frame {
    struct lua_frame *outer;
    bool hook;          /* instructions are limited, and it may not wait */
    bool batch;         /* no hook by itself: a transaction, in which nobody may wait either */
    bool interruptible; /* Ctrl-C raises "interrupted" */
    bool exhausted;     /* the budget is used up: every further instruction raises */
    uint64_t budget, left;
    int64_t deadline; /* of main code, on loop_realtime_ns(); 0: none */
    const char *late; /* what to raise then; borrowed */
};

/* One level of nesting. Between calls a hook's function stays on the stack, ready to be called
 * again: see hook.c. */
struct lua_level {
    lua_State *L;
    uint64_t prepared; /* for which hook: its number; 0: the stack is empty */
};

/* The Lua threads of one OS thread. */
struct lua_os_thread {
    pthread_t id;
    struct lua_level levels[LUA_DEPTH_MAX];
    unsigned depth; /* levels in use */
    struct lua_os_thread *next;
};

struct universe {
    struct loop *loop;
    struct machine_lock *lock;              /* the loop's */
    lua_State *main;                        /* never runs anything after the start */
    lua_State *factory;                     /* makes Lua threads */
    lua_State *luv;                         /* where libuv callbacks arrive */
    struct lua_os_thread *threads, *recent; /* all; the one that entered last */
    struct lua_frame *frame; /* of whoever holds the lock; NULL: no Lua code is running */
    size_t bytes, memory_cap;
    uint64_t hook_budget;
    uint64_t prepared;  /* the last number given to a hook that is prepared */
    uint64_t lot;       /* for drawing which calls are timed */
    int64_t started_ns; /* when it was made, by both clocks */
    uint64_t started_ticks;
    /* Set on any thread: a frame that is interruptible raises "interrupted", which clears it. */
    atomic_bool interrupt;
    struct {
        int64_t since;        /* when the second began */
        uint64_t count, most; /* in that second; of them are shown */
    } reports;                /* of errors */
    const char *log_name;
    const struct hook_target
        *target; /* takes a request to exit made in a libuv callback; may be NULL */
    void *owner; /* struct script */
};

/* The standard libraries without what would break the contract, and luv as module "luv". The lock
 * must be held. */
struct universe *universe_new(const struct universe_config *config, struct error *err);

/* Lets closing handles and requests under way finish, then closes the state. Lock held. */
void universe_free(struct universe *u);

/* The universe that a state belongs to. */
struct universe *universe_of(lua_State *L);

/* The calling OS thread's Lua threads. Asserts that the lock is held. */
struct lua_os_thread *universe_find_thread(struct universe *u);
static inline struct lua_os_thread *universe_enter(struct universe *u)
{
    assert(machine_lock_mine(u->lock));
    bool same = u->recent && pthread_equal(u->recent->id, pthread_self());
    return LIKELY(same) ? u->recent : universe_find_thread(u);
}

/* One more level of nesting; NULL when there are too many, or out of memory. Popping one that is
 * not prepared empties its stack. */
struct lua_level *universe_make_level(struct universe *u, struct lua_os_thread *t);
static inline struct lua_level *universe_push_level(struct universe *u, struct lua_os_thread *t)
{
    struct lua_level *level = &t->levels[t->depth];
    if (UNLIKELY(t->depth == LUA_DEPTH_MAX || !level->L))
        return universe_make_level(u, t);
    t->depth++;
    return level;
}

void universe_empty_level(struct lua_level *level);
static inline void universe_pop_level(struct lua_os_thread *t)
{
    struct lua_level *level = &t->levels[--t->depth];
    if (UNLIKELY(!level->prepared))
        universe_empty_level(level);
}

/* Nothing is prepared under that number any more: let go of what it was. */
void universe_forget(struct universe *u, uint64_t prepared);

/* Around a C function called from Lua that releases the machine lock to wait: others may enter Lua
 * meanwhile. The first two raise an error in a hook, which may not wait. */
void universe_check_wait(lua_State *L, const char *what);
struct lua_frame *universe_block_begin(lua_State *L, const char *what);
void universe_block_end(lua_State *L, struct lua_frame *saved);

/* The same around serving the loop until done(opaque). False: interrupted before; the caller
 * raises. */
bool universe_wait(lua_State *L, const char *what, bool (*done)(void *opaque), void *opaque);
