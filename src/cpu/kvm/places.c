/* What is watched, by linear address, and which pages of RAM have to be watched for it (pages.c).
 *
 * What is watched are linear addresses. A page of them is looked up in the page tables that the
 * vcpu uses at that moment: when it is asked for, and now and then after that (debug.c), so that
 * what was not mapped yet, or is mapped elsewhere, is found. It stays in each page of RAM that it
 * was found to be (at most KVM_HOMES, the oldest goes), until something is written over a trap and
 * the address does not lead there any more: the page has come to serve somebody else.
 *
 * Where traps are HLT, which is #GP to programs, a page that programs may execute gets none.
 *
 * One per accel. Machine lock for everything. */
#include "cpu/kvm/kvm_internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "loop/loop.h"

#include <stdlib.h>
#include <string.h>

bool kvm_places_forbidden(struct kvm_vcpu *v, uint64_t va)
{
    return v->accel->trap == KVM_INSN_HLT && kvm_is_for_programs(v, va);
}

/* A trap of HLT would be #GP to the program that meets it: the hook waits. */
static bool is_forbidden(struct kvm_vcpu *v, struct kvm_place *place)
{
    bool before = place->forbidden;

    place->forbidden = place->guard & KVM_GUARD_COPY && kvm_places_forbidden(v, place->va);
    if (place->forbidden && !before)
        log_host(LOG_WARN, "kvm",
                 "0x%llx has come to be in a page of programs, which on this host can have no "
                 "software breakpoints: exec hooks there wait; --accel soft has them",
                 (unsigned long long)place->va);
    return place->forbidden;
}

/* Is it found where it was not known to be? */
static bool look_up(struct kvm_vcpu *v, struct kvm_place *place)
{
    uint64_t ram;

    if (!kvm_pages_translate(v, place->va, &ram) || is_forbidden(v, place))
        return false;
    ram = kvm_page_of(ram);
    for (unsigned n = 0; n < place->homes; n++)
        if (place->home[n] == ram)
            return false;
    if (place->homes == KVM_HOMES)
        memmove(place->home, place->home + 1, (--place->homes) * sizeof *place->home);
    place->home[place->homes++] = ram;
    return true;
}

static bool look_all_up(struct kvm_vcpu *v)
{
    struct kvm_pages *p = &v->accel->pages;
    int64_t begin = loop_realtime_ns();
    bool news = false;

    p->pending = 0;
    for (size_t n = 0; n < p->places; n++) {
        news |= look_up(v, &p->place[n]);
        p->pending += !p->place[n].homes;
    }
    p->looked_ns = loop_realtime_ns();
    p->took_ns = p->looked_ns - begin;
    return news;
}

/* Which places are not there any more? */
static void check_homes(struct kvm_vcpu *v)
{
    struct kvm_pages *p = &v->accel->pages;

    for (size_t n = 0; n < p->places; n++) {
        struct kvm_place *place = &p->place[n];
        unsigned kept = 0;
        for (unsigned i = 0; i < place->homes; i++) {
            const struct kvm_page *page = kvm_pages_find(p, place->home[i]);
            uint64_t ram;
            if (page && page->overwritten && place->guard & KVM_GUARD_COPY &&
                (!kvm_pages_translate(v, place->va, &ram) || kvm_page_of(ram) != place->home[i]))
                continue;
            place->home[kept++] = place->home[i];
        }
        place->homes = kept;
    }
}

void kvm_places_check(struct kvm_vcpu *v)
{
    check_homes(v);
    look_all_up(v);
    kvm_pages_rebuild(v->accel);
}

/* A look costs about a microsecond for each page: at most a twentieth of the time goes into it. */
void kvm_places_look(struct kvm_vcpu *v)
{
    struct kvm_pages *p = &v->accel->pages;
    int64_t pause = 20 * p->took_ns > 1000000 ? 20 * p->took_ns : 1000000;

    if (p->places && loop_realtime_ns() - p->looked_ns >= pause && look_all_up(v))
        kvm_pages_rebuild(v->accel);
}

/* ---- asking for it ---- */

static int by_va(const void *pa, const void *pb)
{
    const struct kvm_place *a = pa, *b = pb;

    return a->va < b->va ? -1 : a->va > b->va;
}

struct place_list {
    struct kvm_place *place;
    size_t count, capacity;
};

static void want(struct place_list *l, const struct vcpu_ranges *ranges, unsigned guard)
{
    for (size_t n = 0; n < ranges->count; n++) {
        uint64_t last = kvm_page_of(ranges->range[n].last);
        for (uint64_t va = kvm_page_of(ranges->range[n].first);; va += KVM_PAGE) {
            ALLOC_GROW(l->place, l->count, l->capacity);
            l->place[l->count++] = (struct kvm_place){ .va = va, .guard = guard };
            if (va == last)
                break;
        }
    }
}

/* One for each page. */
static void merge(struct place_list *l)
{
    size_t kept = 0;

    if (l->count)
        qsort(l->place, l->count, sizeof *l->place, by_va);
    for (size_t n = 0; n < l->count; n++) {
        if (kept && l->place[kept - 1].va == l->place[n].va)
            l->place[kept - 1].guard |= l->place[n].guard;
        else
            l->place[kept++] = l->place[n];
    }
    l->count = kept;
}

static void keep_ranges(struct vcpu_range **to, size_t *count, const struct vcpu_ranges *from)
{
    *to = alloc_resize(*to, from->count + 1, sizeof **to);
    if (from->count)
        memcpy(*to, from->range, from->count * sizeof **to);
    *count = from->count;
}

static bool ranges_equal(const struct vcpu_range *r, size_t count, const struct vcpu_ranges *other)
{
    return count == other->count && (!count || !memcmp(r, other->range, count * sizeof *r));
}

void kvm_places_watch(struct kvm_vcpu *v, const struct vcpu_ranges *traps,
                      const struct vcpu_ranges *data, const struct vcpu_ranges *reads)
{
    struct accel *a = v->accel;
    struct kvm_pages *p = &a->pages;
    struct place_list l = { 0 };

    if (ranges_equal(p->trap, p->traps, traps) && ranges_equal(p->data, p->datas, data) &&
        ranges_equal(p->reads, p->readses, reads))
        return;
    kvm_pages_init(a);
    keep_ranges(&p->trap, &p->traps, traps);
    keep_ranges(&p->data, &p->datas, data);
    keep_ranges(&p->reads, &p->readses, reads);
    want(&l, traps, KVM_GUARD_COPY | KVM_GUARD_WRITES);
    want(&l, data, KVM_GUARD_WRITES);
    want(&l, reads, KVM_GUARD_READS);
    merge(&l);
    for (size_t n = 0; n < l.count && p->places; n++) {
        const struct kvm_place *old =
            bsearch(&l.place[n], p->place, p->places, sizeof *p->place, by_va);
        if (old) {
            memcpy(l.place[n].home, old->home, sizeof old->home);
            l.place[n].homes = old->homes;
            l.place[n].forbidden = old->forbidden;
        }
    }
    free(p->place);
    p->place = l.place;
    p->places = l.count;
    look_all_up(v);
    kvm_pages_rebuild(a);
}

/* ---- where an access is, and what has been found ---- */

static const struct kvm_place *place_of(const struct kvm_pages *p, uint64_t ram, size_t *from)
{
    for (; *from < p->places; ++*from)
        for (unsigned i = 0; i < p->place[*from].homes; i++)
            if (p->place[*from].home[i] == kvm_page_of(ram))
                return &p->place[(*from)++];
    return NULL;
}

bool kvm_places_data_at(struct accel *a, uint64_t gpa, unsigned size, bool write, size_t *from,
                        uint64_t *va)
{
    const struct kvm_pages *p = &a->pages;
    const struct vcpu_ranges ranges = { write ? p->data : p->reads, write ? p->datas : p->readses };
    const struct kvm_place *place;
    uint64_t ram;

    if (!ranges.count || !kvm_pages_ram_of(a, gpa, &ram) || !kvm_pages_find(p, ram))
        return false;
    while ((place = place_of(p, ram, from))) {
        *va = place->va + ram % KVM_PAGE;
        if (vcpu_ranges_meet(&ranges, *va, *va + (size - 1)))
            return true;
    }
    return false;
}

bool kvm_places_found(const struct accel *a, uint64_t first, uint64_t last)
{
    const struct kvm_pages *p = &a->pages;

    for (uint64_t va = kvm_page_of(first);; va += KVM_PAGE) {
        const struct kvm_place key = { .va = va };
        const struct kvm_place *place =
            p->places ? bsearch(&key, p->place, p->places, sizeof key, by_va) : NULL;
        if (!place || !place->homes)
            return false;
        if (va == kvm_page_of(last))
            return true;
    }
}
