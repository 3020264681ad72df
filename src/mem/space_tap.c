/* Taps on the transfers of an address space.
 *
 * A callback may take away taps, and even the device with its address space: each call of taps is a
 * walk that the address space knows, so that both can tell it. */
#include "base/alloc.h"
#include "mem/mem_internal.h"

#include <stdlib.h>
#include <string.h>

struct tap_walk {
    struct space_tap *next; /* to be called */
    bool gone;              /* the address space is not there any more */
    struct tap_walk *outer;
};

void address_space_add_tap(struct address_space *as, struct space_tap *t)
{
    struct space_tap **at = &as->taps;
    while (*at)
        at = &(*at)->next;
    t->next = NULL;
    *at = t;
}

void address_space_remove_tap(struct address_space *as, struct space_tap *t)
{
    struct space_tap **at = &as->taps;
    while (*at && *at != t)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = t->next;
    for (struct tap_walk *w = as->walks; w; w = w->outer)
        if (w->next == t)
            w->next = t->next;
}

void space_taps_gone(struct address_space *as)
{
    for (struct tap_walk *w = as->walks; w; w = w->outer) {
        w->next = NULL;
        w->gone = true;
    }
    while (as->taps) {
        struct space_tap *t = as->taps;
        as->taps = t->next;
        if (t->gone)
            t->gone(t->opaque);
    }
}

static enum space_verdict show(struct address_space *as, uint64_t addr, void *data, size_t len,
                               bool write)
{
    struct tap_walk *w = ALLOC(struct tap_walk);
    enum space_verdict verdict = SPACE_GO;
    *w = (struct tap_walk){ as->taps, false, as->walks };
    as->walks = w;
    while (verdict == SPACE_GO && w->next) {
        struct space_tap *t = w->next;
        w->next = t->next;
        verdict = t->transfer(t->opaque, addr, data, len, write);
    }
    if (w->gone)
        verdict = SPACE_NOTHING;
    else
        as->walks = w->outer;
    free(w);
    return verdict;
}

enum mem_result space_tapped_read(struct address_space *as, uint64_t addr, void *buf, size_t len)
{
    enum mem_result result = space_read(as, addr, buf, len);
    if (!len || show(as, addr, buf, len, false) == SPACE_GO)
        return result;
    memset(buf, 0xff, len);
    return MEM_UNASSIGNED;
}

enum mem_result space_tapped_write(struct address_space *as, uint64_t addr, const void *buf,
                                   size_t len)
{
    if (!len)
        return MEM_OK;
    void *data = alloc_zero(1, len);
    memcpy(data, buf, len);
    enum space_verdict verdict = show(as, addr, data, len, true);
    enum mem_result result = verdict == SPACE_GO      ? space_write(as, addr, data, len)
                             : verdict == SPACE_TAKEN ? MEM_OK
                                                      : MEM_UNASSIGNED;
    free(data);
    return result;
}
