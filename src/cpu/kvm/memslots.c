/* Memory slots: what of the machine's memory KVM maps into the guest by itself.
 *
 * A listener on the "memory" address space keeps the stretches that have host memory (stretches.c);
 * the rest of the address space ends in MMIO exits. What is read-only (ROM, and RAM under taps on
 * writes alone) becomes a read-only slot, whose writes exit.
 *
 * Slots are the stretches, cut where pages are watched (pages.c): after each change they are worked
 * out anew, and KVM is told the difference: where there is none nobody is disturbed, and a slot
 * that only moves is moved by one call. Replacing a slot is not atomic, so vcpus are kept out of
 * the guest meanwhile.
 *
 * Without a slot that it should have a guest would run on and find nothing there, or what was there
 * before. So where the kernel refuses one, whoever runs the machine is told: it pauses, and goes on
 * only when the kernel takes it. */
#include "cpu/kvm/kvm_internal.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "mem/address_space.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { SLOTS_MAX = 1024, SLOTS_DEFAULT = 32 };

/* ---- keeping vcpus out of the guest ---- */

void kvm_keep_out(struct accel *a)
{
    if (!a->vcpu_count || a->kept_out++)
        return;
    a->pauses++;
    /* Whoever is in KVM_RUN comes out, and waits for the machine lock, which is ours, before going
     * in again. */
    atomic_store(&a->changing, true);
    for (unsigned i = 0; i < a->vcpu_count; i++)
        kvm_vcpu_interrupt(a->vcpus[i]);
    kvm_wait_outside(a, NULL);
}

void kvm_let_in(struct accel *a)
{
    if (!a->vcpu_count || !a->kept_out || --a->kept_out)
        return;
    atomic_store(&a->changing, false);
}

/* ---- slots ---- */

struct slot_list {
    struct kvm_slot *slot;
    size_t count, capacity;
};

/* The next slot, or more of the one before if that began at `from` or later. */
static void append(struct slot_list *l, size_t from, struct kvm_slot s)
{
    struct kvm_slot *before = l->count > from ? &l->slot[l->count - 1] : NULL;

    if (before && before->gpa + before->size == s.gpa && before->host + before->size == s.host &&
        before->readonly == s.readonly && before->logged == s.logged) {
        before->size += s.size;
        return;
    }
    ALLOC_GROW(l->slot, l->count, l->capacity);
    l->slot[l->count++] = s;
}

static void cut(const struct kvm_pages *pages, const struct kvm_stretch *s, struct slot_list *l)
{
    size_t n = kvm_pages_from(pages, s->ram), from = l->count;
    uint64_t at = 0;

    while (at < s->size) {
        const struct kvm_page *p =
            n < pages->count && pages->page[n].ram - s->ram < s->size ? &pages->page[n] : NULL;
        uint64_t plain = (p ? p->ram - s->ram : s->size) - at;

        if (plain)
            append(l, from,
                   (struct kvm_slot){ .gpa = s->gpa + at,
                                      .size = plain,
                                      .host = s->host + at,
                                      .ram = s->ram + at,
                                      .readonly = s->readonly,
                                      .logged = s->region->dirty_log && !s->readonly });
        at += plain;
        if (!p)
            break;
        if (!(p->guard & KVM_GUARD_READS) || p->copy)
            append(l, from,
                   (struct kvm_slot){ .gpa = s->gpa + at,
                                      .size = KVM_PAGE,
                                      .host = p->copy ? p->copy : s->host + at,
                                      .ram = s->ram + at,
                                      .readonly = true });
        at += KVM_PAGE;
        n++;
    }
}

static bool tell_kvm(struct accel *a, const struct kvm_slot *s, uint64_t size)
{
    struct kvm_userspace_memory_region region = {
        .slot = s->id,
        .flags = (s->readonly ? KVM_MEM_READONLY : 0) | (s->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0),
        .guest_phys_addr = s->gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)s->host,
    };

    a->slot_calls++;
    return kvm_ioctl(a->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

static bool same_bytes(const struct kvm_slot *a, const struct kvm_slot *b)
{
    return a->size == b->size && a->host == b->host && a->readonly == b->readonly;
}

/* Hand the ids of the slots that stay on to what is wanted. Is anything left to do? */
static bool keep_slots(struct accel *a, struct slot_list *wanted)
{
    struct kvm_slot *w = wanted->slot, *end = w + wanted->count;
    size_t kept = 0;

    for (size_t n = 0; n < a->slot_count; n++) {
        struct kvm_slot *s = &a->slots[n];

        while (w < end && w->gpa < s->gpa)
            w++;
        s->fate = KVM_SLOT_GOES;
        if (w < end && w->gpa == s->gpa && same_bytes(w, s) && w->logged == s->logged) {
            w->id = s->id;
            w->fate = s->fate = KVM_SLOT_STAYS;
            kept++;
        }
    }
    return kept != a->slot_count || kept != wanted->count;
}

/* What goes and comes elsewhere, or with another word about its log, keeps its id. */
static void find_moves(struct accel *a, struct slot_list *wanted)
{
    for (size_t n = 0; n < a->slot_count; n++) {
        struct kvm_slot *s = &a->slots[n];

        for (size_t i = 0; s->fate == KVM_SLOT_GOES && i < wanted->count; i++) {
            struct kvm_slot *w = &wanted->slot[i];

            if (w->fate != KVM_SLOT_COMES || !same_bytes(w, s))
                continue;
            kvm_dirty_keep(a, s);
            w->id = s->id;
            w->fate = s->fate = KVM_SLOT_MOVES;
        }
    }
}

/* The first one is told of. The vcpus come out with it: see kvm_memslots_take_refusal(). */
static void refused(struct accel *a, const struct kvm_slot *s, const char *what, const char *why)
{
    a->slots_incomplete = true;
    if (a->slots_refusal.text[0])
        return;
    error_set_host(
        &a->slots_refusal, 0,
        "kvm: the host's kernel does not %s 0x%llx bytes at 0x%llx: %s; without that the "
        "guest cannot go on: less memory, fewer pieces of it, or --accel soft",
        what, (unsigned long long)s->size, (unsigned long long)s->gpa, why);
    for (unsigned i = 0; i < a->vcpu_count; i++)
        kvm_vcpu_kick(&a->vcpus[i]->vcpu);
}

bool kvm_memslots_take_refusal(struct accel *a, struct error *err)
{
    if (!a->slots_refusal.text[0])
        return false;
    *err = a->slots_refusal;
    a->slots_refusal.text[0] = 0;
    return true;
}

static void remove_slots(struct accel *a)
{
    for (size_t n = 0; n < a->slot_count; n++) {
        struct kvm_slot *s = &a->slots[n];

        if (s->fate != KVM_SLOT_GOES)
            continue;
        kvm_dirty_keep(a, s);
        if (!tell_kvm(a, s, 0))
            refused(a, s, "take back a memory slot of", strerror(errno));
        a->slot_used[s->id] = false;
    }
}

/* Refused while another slot that moves is in the way: then it goes, and comes with the others. */
static void move_slots(struct accel *a, struct slot_list *wanted)
{
    for (size_t n = 0; n < wanted->count; n++) {
        struct kvm_slot *s = &wanted->slot[n];

        if (s->fate != KVM_SLOT_MOVES)
            continue;
        s->fate = KVM_SLOT_STAYS;
        if (tell_kvm(a, s, s->size))
            continue;
        tell_kvm(a, s, 0);
        a->slot_used[s->id] = false;
        s->fate = KVM_SLOT_COMES;
    }
}

static bool add_slot(struct accel *a, struct kvm_slot *s)
{
    unsigned id = 0;

    while (id < a->slots_max && a->slot_used[id])
        id++;
    s->id = id;
    if (id < a->slots_max)
        return a->slot_used[id] = tell_kvm(a, s, s->size);
    errno = ENOSPC;
    return false;
}

static void add_slots(struct accel *a, struct slot_list *wanted)
{
    size_t kept = 0;

    for (size_t n = 0; n < wanted->count; n++) {
        struct kvm_slot *s = &wanted->slot[n];

        if (s->fate == KVM_SLOT_STAYS || add_slot(a, s))
            wanted->slot[kept++] = *s;
        else
            refused(a, s, "give a memory slot for",
                    s->id == a->slots_max ? "all are in use" : strerror(errno));
    }
    wanted->count = kept;
}

void kvm_memslots_arrange(struct accel *a)
{
    struct slot_list wanted = { 0 };

    for (size_t n = 0; n < a->stretch_count; n++)
        cut(&a->pages, &a->stretches[n], &wanted);
    a->slots_incomplete = false;
    if (!keep_slots(a, &wanted)) {
        free(wanted.slot);
        return;
    }
    kvm_keep_out(a);
    find_moves(a, &wanted);
    remove_slots(a);
    move_slots(a, &wanted);
    add_slots(a, &wanted);
    kvm_let_in(a);
    free(a->slots);
    a->slots = wanted.slot;
    a->slot_count = wanted.count;
}

/* ---- the listener ---- */

static void slots_commit(struct mem_listener *l)
{
    struct accel *a = CONTAINER_OF(l, struct accel, listener);

    kvm_stretches_update(a, address_space_view(l->as));
    kvm_pages_remapped(a);
    kvm_memslots_arrange(a);
}

bool kvm_memslots_init(struct accel *a, struct error *err)
{
    int count = ioctl(a->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);

    if (count <= 0)
        count = SLOTS_DEFAULT;
    a->slots_max = count < SLOTS_MAX ? count : SLOTS_MAX;
    a->slot_used = alloc_zero(a->slots_max, sizeof *a->slot_used);
    a->listener = (struct mem_listener){
        .as = a->machine->memory,
        .commit = slots_commit,
    };
    mem_listener_add(a->machine->mem, &a->listener);
    kvm_dirty_init(a);
    a->listening = true;
    return true;
}

void kvm_memslots_forget(struct accel *a, struct kvm_vcpu *v)
{
    for (unsigned i = 0; i < a->vcpu_count; i++)
        if (a->vcpus[i] == v) {
            a->vcpus[i] = a->vcpus[--a->vcpu_count];
            return;
        }
}

void kvm_memslots_fini(struct accel *a)
{
    assert(!a->vcpu_count);
    if (a->listening) {
        mem_listener_remove(a->machine->mem, &a->listener);
        mem_dirty_source_remove(a->machine->mem, &a->dirty);
    }
    kvm_pages_fini(a);
    free(a->slots);
    free(a->slot_used);
    free(a->stretches);
}
