/* Stretches: which whole pages of the machine's memory slots may serve, worked out from the view of
 * the "memory" address space each time that it changes.
 *
 * A range with host memory counts as it is. Where taps on writes alone lie over it the memory
 * beneath counts, but as read-only: reads and code need no exit then, and writes, which exit, go
 * through the address space and meet the tap. A page of which any part is read-only is so wholly;
 * the writes to the rest of it go the same way. Odd ends of ranges, and ranges whose host and guest
 * addresses do not agree within a page, are left to exits.
 *
 * Machine lock. */
#include "cpu/kvm/kvm_internal.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "mem/flatview.h"
#include "mem/tap.h"

/* Memory that goes on without a break in guest, host and RAM addresses, in the making. */
struct run {
    struct accel *accel;
    struct kvm_stretch whole; /* all of it, in bytes; size 0: there is none */
    struct kvm_stretch pages; /* the last pages, not noted yet */
    uint64_t at;              /* the first page that is not in `pages` or noted */
    bool mixed;               /* the beginning of that page is read-only */
};

static uint64_t end_of(const struct kvm_stretch *s)
{
    return s->gpa + s->size;
}

static void note(struct run *r)
{
    struct accel *a = r->accel;

    if (!r->pages.size)
        return;
    ALLOC_GROW(a->stretches, a->stretch_count, a->stretch_capacity);
    a->stretches[a->stretch_count++] = r->pages;
    r->pages.size = 0;
}

static void put(struct run *r, uint64_t end, bool readonly)
{
    uint64_t into = r->at - r->whole.gpa;

    if (end <= r->at)
        return;
    if (!r->pages.size || r->pages.readonly != readonly) {
        note(r);
        r->pages = (struct kvm_stretch){
            r->at, 0, r->whole.host + into, r->whole.ram + into, readonly, r->whole.region
        };
    }
    r->pages.size += end - r->at;
    r->at = end;
}

/* The piece added last goes up to the end of `whole`: take the pages that end there or before. */
static void take(struct run *r)
{
    uint64_t end = end_of(&r->whole), pages_end = align_down(end, KVM_PAGE);

    if (r->mixed && pages_end > r->at) {
        put(r, r->at + KVM_PAGE, true);
        r->mixed = false;
    }
    put(r, pages_end, r->whole.readonly);
    r->mixed |= r->whole.readonly && end > r->at;
}

static void finish(struct run *r)
{
    if (r->whole.size)
        take(r);
    note(r);
    r->whole.size = 0;
    r->mixed = false;
}

static bool goes_on(const struct kvm_stretch *whole, const struct kvm_stretch *piece)
{
    return whole->size && end_of(whole) == piece->gpa && whole->host + whole->size == piece->host &&
           whole->ram + whole->size == piece->ram && whole->region == piece->region;
}

/* `whole.readonly` is that of the piece added last. */
static void add(struct run *r, const struct kvm_stretch *piece)
{
    if (!goes_on(&r->whole, piece)) {
        finish(r);
        if (((uintptr_t)piece->host - piece->gpa) % KVM_PAGE)
            return;
        r->whole = *piece;
        r->at = align_up(piece->gpa, KVM_PAGE);
        return;
    }
    take(r);
    r->whole.size += piece->size;
    r->whole.readonly = piece->readonly;
}

static bool sees_writes_alone(const struct region *r)
{
    return r->kind == REGION_TAP && !r->tap_ops->read;
}

/* Of the view, what lies in [first, last]. */
static void gather(struct run *run, const struct flatview *v, uint64_t first, uint64_t last,
                   bool readonly)
{
    for (const struct flat_range *r = flatview_next(v, first);
         r && r < v->ranges + v->count && r->start <= last; r++) {
        uint64_t start = r->start > first ? r->start : first;
        uint64_t end = r->last < last ? r->last : last, into = start - r->start;

        if (r->host)
            add(run,
                &(struct kvm_stretch){ start, end - start + 1, r->host + into, r->ram_addr + into,
                                       readonly || r->readonly, r->region });
        else if (r->beneath && sees_writes_alone(r->region))
            gather(run, r->beneath, start, end, true);
    }
}

void kvm_stretches_update(struct accel *a, const struct flatview *v)
{
    struct run run = { .accel = a };

    a->stretch_count = 0;
    gather(&run, v, 0, UINT64_MAX, false);
    finish(&run);
}
