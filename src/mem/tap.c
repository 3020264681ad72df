/* Taps: showing an access to callbacks and passing it on to what lies beneath.
 *
 * What lies beneath was rendered together with the view that shows the tap (flatview.c) and is held
 * by reference while a callback runs, because a callback may change the topology and even finish
 * its own tap. Views do not keep regions alive, though. So when regions were finished meanwhile,
 * the access goes on only to regions that a published view still shows. */
#include "mem/tap.h"

#include "mem/mem_internal.h"

#include <limits.h>

void region_init_tap(struct region *tap, struct region *container, const char *name, uint64_t addr,
                     uint64_t size, const struct tap_ops *ops, void *opaque)
{
    region_init_container(tap, container->mem, name, size);
    tap->kind = REGION_TAP;
    tap->tap_ops = ops;
    tap->opaque = opaque;
    region_add(container, addr, tap, INT_MAX);
}

/* An access on its way through a tap: all that is needed once the tap may be gone. */
struct passage {
    struct mem *mem;
    struct flatview *beneath; /* referenced; NULL: nothing is there */
    uint64_t finished;        /* regions finished when it began */
    const struct region *tap; /* to be compared only */
    const struct tap_ops *ops;
    void *opaque;
    uint64_t offset;
};

static struct passage enter(const struct flat_range *r, uint64_t addr)
{
    return (struct passage){
        .mem = r->region->mem,
        .beneath = r->beneath ? flatview_ref(r->beneath) : NULL,
        .finished = r->region->mem->finished,
        .tap = r->region,
        .ops = r->region->tap_ops,
        .opaque = r->region->opaque,
        .offset = r->offset + (addr - r->start),
    };
}

/* The view in which the access goes on: what lay beneath. If a callback has finished taps there,
 * what lay beneath those. NULL: nothing is left. */
static const struct flatview *left_beneath(const struct passage *p, uint64_t addr, unsigned size)
{
    const struct flatview *v = p->beneath;
    while (v && !view_is_alive(p->mem, p->finished, v, addr, size))
        v = v->beneath;
    return v;
}

enum mem_result tap_load(const struct flat_range *r, uint64_t addr, unsigned size, uint64_t *value)
{
    struct passage p = enter(r, addr);
    enum mem_result result = MEM_OK;
    uint64_t v = bits_mask(size * 8);
    bool before = p.ops->before && p.ops->read;
    if (before && !p.ops->read(p.opaque, p.offset, size, &v))
        goto out;
    const struct flatview *left = left_beneath(&p, addr, size);
    if (left) {
        result = view_load(p.mem, left, addr, size, &v);
    } else {
        v = bits_mask(size * 8);
        p.mem->stats.unassigned_reads++;
        result = MEM_UNASSIGNED;
    }
    bool gone = p.mem->finished != p.finished && !mem_shows_region(p.mem, p.tap);
    if (p.ops->read && !before && !gone)
        p.ops->read(p.opaque, p.offset, size, &v);
out:
    *value = v & bits_mask(size * 8);
    flatview_unref(p.beneath);
    return result;
}

enum mem_result tap_store(const struct flat_range *r, uint64_t addr, unsigned size, uint64_t value)
{
    struct passage p = enter(r, addr);
    enum mem_result result = MEM_OK;
    if (p.ops->write && !p.ops->write(p.opaque, p.offset, size, &value))
        goto out;
    const struct flatview *left = left_beneath(&p, addr, size);
    if (left) {
        result = view_store(p.mem, left, addr, size, value & bits_mask(size * 8));
    } else {
        p.mem->stats.unassigned_writes++;
        result = MEM_UNASSIGNED;
    }
out:
    flatview_unref(p.beneath);
    return result;
}
