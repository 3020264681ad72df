/* Memory slots: what of the machine's memory KVM maps into the guest by itself.
 *
 * A listener on the "memory" address space makes a slot of every range that has host memory; the
 * rest of the address space ends in MMIO exits. Slots cover whole pages: the odd ends of a range,
 * and ranges whose host and guest addresses do not agree within a page, are served by exits as
 * well. A read-only range (ROM, or a tap on writes) becomes a read-only slot, whose writes exit.
 *
 * Replacing a slot is not atomic, so all vcpus are kept out of the guest from the first change to
 * the last. */
#include "cpu/kvm/kvm_internal.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { SLOTS_MAX = 1024, SLOTS_DEFAULT = 32, PAGE = 4096 };

/* The pages that lie in the range wholly. False: there are none. */
static bool whole_pages(const struct flat_range *r, uint64_t *gpa, uint64_t *size, uint8_t **hva)
{
    uint64_t start = align_up(r->start, PAGE), end = align_down(r->last + 1, PAGE);

    if (!r->host || start < r->start || end <= start)
        return false;
    *gpa = start;
    *size = end - start;
    *hva = r->host + (start - r->start);
    return ((uintptr_t)*hva & (PAGE - 1)) == 0;
}

static bool set_slot(struct accel *a, unsigned slot, uint64_t gpa, uint64_t size, uint8_t *hva,
                     bool readonly)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = readonly ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)hva,
    };

    return kvm_ioctl(a->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

void kvm_keep_out(struct accel *a)
{
    if (!a->vcpu_count || a->kept_out++)
        return;
    /* Whoever is in KVM_RUN comes out, and waits for the machine lock, which is ours, before going
     * in again. */
    atomic_store(&a->changing, true);
    for (unsigned i = 0; i < a->vcpu_count; i++)
        kvm_vcpu_interrupt(a->vcpus[i]);
    for (unsigned i = 0; i < a->vcpu_count; i++)
        pthread_mutex_lock(&a->vcpus[i]->in_guest);
}

void kvm_let_in(struct accel *a)
{
    if (!a->vcpu_count || !a->kept_out || --a->kept_out)
        return;
    atomic_store(&a->changing, false);
    for (unsigned i = 0; i < a->vcpu_count; i++)
        pthread_mutex_unlock(&a->vcpus[i]->in_guest);
}

static void slots_begin(struct mem_listener *l)
{
    kvm_keep_out(CONTAINER_OF(l, struct accel, listener));
}

static void slots_commit(struct mem_listener *l)
{
    kvm_let_in(CONTAINER_OF(l, struct accel, listener));
}

static void slots_remove(struct mem_listener *l, const struct flat_range *range)
{
    struct accel *a = CONTAINER_OF(l, struct accel, listener);
    uint64_t gpa, size;
    uint8_t *hva;

    if (!whole_pages(range, &gpa, &size, &hva))
        return;
    for (unsigned i = 0; i < a->slot_count; i++) {
        struct kvm_slot *s = &a->slots[i];

        if (s->size == size && s->gpa == gpa) {
            if (!set_slot(a, i, gpa, 0, hva, false))
                log_host(LOG_ERROR, "kvm", "cannot remove the memory slot at 0x%llx: %s",
                         (unsigned long long)gpa, strerror(errno));
            s->size = 0;
            return;
        }
    }
}

static void slots_add(struct mem_listener *l, const struct flat_range *range)
{
    struct accel *a = CONTAINER_OF(l, struct accel, listener);
    uint64_t gpa, size;
    uint8_t *hva;
    unsigned i = 0;

    if (!whole_pages(range, &gpa, &size, &hva))
        return;
    while (i < a->slot_count && a->slots[i].size)
        i++;
    if (i == a->slot_count) {
        log_host(LOG_ERROR, "kvm",
                 "all %u memory slots are in use: %s at 0x%llx is served by exits, slowly, and no "
                 "code runs from it; map fewer pieces, or use --accel soft",
                 a->slot_count, range->region->name, (unsigned long long)gpa);
        return;
    }
    if (!set_slot(a, i, gpa, size, hva, range->readonly)) {
        log_host(LOG_ERROR, "kvm", "no memory slot for %s at 0x%llx, 0x%llx bytes: %s",
                 range->region->name, (unsigned long long)gpa, (unsigned long long)size,
                 strerror(errno));
        return;
    }
    a->slots[i] = (struct kvm_slot){ gpa, size };
}

bool kvm_memslots_init(struct accel *a, struct error *err)
{
    int count = ioctl(a->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);

    if (count <= 0)
        count = SLOTS_DEFAULT;
    a->slot_count = count < SLOTS_MAX ? count : SLOTS_MAX;
    a->slots = alloc_zero(a->slot_count, sizeof *a->slots);
    a->listener = (struct mem_listener){
        .as = a->machine->memory,
        .begin = slots_begin,
        .remove = slots_remove,
        .add = slots_add,
        .commit = slots_commit,
    };
    mem_listener_add(a->machine->mem, &a->listener);
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
    if (a->listening)
        mem_listener_remove(a->machine->mem, &a->listener);
    free(a->slots);
}
