/* A cluster: several VMs on one virtual clock, joined by links.
 *
 * Conservative synchronisation. The members advance in lock step, by quanta that are no longer than
 * the least latency of a link: what one sends within a quantum reaches another after its end, so
 * within it they need nothing of each other. Each runs on its own thread up to the end of the
 * quantum (the horizon) and waits there; whoever comes last, or whatever else changes, computes the
 * next one. There is no thread of the cluster's own. The frames under way are ordered by (time of
 * arrival, sender, sequence) and arrive by a timer of the receiver's virtual clock that precedes
 * all others of its time: where the horizons lie makes no difference to what the guests see.
 *
 * Machine lock for everything, from any thread. docs/cluster.md is the contract. */
#pragma once

#include "vm/vm.h"

struct cluster;
struct cluster_link;

struct cluster_config {
    const char *name;   /* for listings; copied */
    int64_t latency_ns; /* the least that a link may have, at least 1 */
    bool parallel;      /* members run a quantum at the same time, else one after the other */
};

struct cluster *cluster_new(struct loop *loop, const struct cluster_config *config);
/* Stops it; the members are single machines again. NULL is allowed. Loop thread. */
void cluster_free(struct cluster *c);

/* Add a VM that does not run; the one that is behind in time is brought forward, its timers firing
 * on the way. Refused: backends that do not count instructions, VMs without a cpu. */
bool cluster_add(struct cluster *c, struct vm *vm, struct error *err);
/* The nth of those that are left, NULL: no such. */
struct vm *cluster_member(const struct cluster *c, unsigned n);
/* Which one it belongs to; NULL: none. */
struct cluster *vm_cluster(const struct vm *vm);

const char *cluster_name(const struct cluster *c);
int64_t cluster_latency(const struct cluster *c);
/* Virtual time that all members that run have reached. */
int64_t cluster_now(const struct cluster *c);
/* RUNNING while a member executes or may; ENDED when all have ended. */
enum vm_state cluster_state(const struct cluster *c);
/* Why it stands still: "until", "deadlock", what cluster_pause() was told, or the reason of the
 * member that paused (*by, else NULL). "" after an end. */
const char *cluster_pause_reason(const struct cluster *c, struct vm **by);
uint64_t cluster_quanta(const struct cluster *c);

/* Pause when virtual time has come to `until` (CLOCK_NEVER: never), or when `holds`, which is asked
 * at every horizon, says so (NULL: nobody is asked). Both stay until they are set again. */
void cluster_set_until(struct cluster *c, int64_t until, bool (*holds)(void *opaque), void *opaque);

/* Let all members run that are paused. */
bool cluster_resume(struct cluster *c, struct error *err);
/* Ask all to stop at the end of the quantum. */
void cluster_pause(struct cluster *c, const char *reason);
/* Ask all members to end where they are. */
void cluster_end(struct cluster *c, const char *reason, int status);
/* Until what was asked for has been done. On a member's own thread, and in `holds`, it returns at
 * once. */
void cluster_wait(struct cluster *c);
/* On the loop thread: resume, and serve the loop until it stands still. */
bool cluster_run(struct cluster *c, struct error *err);
/* Nobody runs, nor will before a resume. */
bool cluster_is_still(const struct cluster *c);

/* Join wires (net_wire_new()) of members: what one sends, all others get `latency_ns` later (0: the
 * cluster's; not less than it). Two make a link, more a hub. NULL for `name`: one is made. */
struct cluster_link *cluster_link_new(struct cluster *c, const char *name, int64_t latency_ns,
                                      struct net_port *const *wires, size_t count,
                                      struct error *err);
/* What is under way is lost. */
void cluster_link_free(struct cluster_link *l);
/* In order of making; NULL starts and ends. */
struct cluster_link *cluster_link_next(struct cluster *c, struct cluster_link *l);
const char *cluster_link_name(const struct cluster_link *l);
int64_t cluster_link_latency(const struct cluster_link *l);
/* Frames sent while it is down are dropped. */
void cluster_link_set_up(struct cluster_link *l, bool up);
bool cluster_link_is_up(const struct cluster_link *l);
/* The nth wire that is joined, NULL: no such. */
struct net_port *cluster_link_wire(const struct cluster_link *l, unsigned n);
/* `frames` and `bytes` were sent, `dropped` copies did not arrive. */
struct net_link_stats cluster_link_stats(const struct cluster_link *l);
