/* Dirty logs of RAM: what the guest has written, slot by slot, as the kernel has noted it.
 *
 * Reading a slot's log clears it, so what it says is passed on at once: to the flags of RAM pages
 * (mem/dirty.c), where the writes of devices and scripts are. The kernel's manual protocol
 * (KVM_CLEAR_DIRTY_LOG) is for those who read a log and clear pieces of it much later; here both
 * are one step.
 *
 * Machine lock; vcpus may be in the guest. */
#include "cpu/kvm/kvm_internal.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>

/* False with errno. */
static bool read_log(struct accel *a, const struct kvm_slot *s)
{
    size_t words = (s->size / KVM_PAGE + 63) / 64;
    uint64_t *bits = alloc_zero(words, sizeof *bits);
    struct kvm_dirty_log log = { .slot = s->id, .dirty_bitmap = bits };
    bool ok = kvm_ioctl(a->vm_fd, KVM_GET_DIRTY_LOG, &log) == 0;
    int error = errno;

    for (size_t n = 0; n < words; n++)
        for (uint64_t left = bits[n]; left; left &= left - 1)
            mem_ram_dirtied(a->machine->mem,
                            s->ram + (64 * n + (size_t)__builtin_ctzll(left)) * KVM_PAGE, KVM_PAGE);
    free(bits);
    errno = error;
    return ok;
}

void kvm_dirty_keep(struct accel *a, const struct kvm_slot *s)
{
    if (s->logged && !read_log(a, s)) /* then any of them may have been */
        mem_ram_dirtied(a->machine->mem, s->ram, s->size);
}

/* The kernel needs memory for a log. */
static bool switched(void *opaque, struct region *r, struct error *err)
{
    struct accel *a = opaque;
    struct error refusal = { 0 };

    kvm_memslots_arrange(a);
    return !kvm_memslots_take_refusal(a, &refusal) ||
           error_set_host(err, 0, "region \"%s\" can have no dirty log: %s", r->name, refusal.text);
}

static bool collect(void *opaque, struct region *r, struct error *err)
{
    struct accel *a = opaque;

    for (size_t n = 0; n < a->slot_count; n++) {
        const struct kvm_slot *s = &a->slots[n];

        if (s->logged && s->ram - r->ram_addr < r->host_size && !read_log(a, s))
            return error_set_host(err, errno,
                                  "kvm: the host's kernel does not tell which pages of region "
                                  "\"%s\" are written",
                                  r->name);
    }
    return true;
}

void kvm_dirty_init(struct accel *a)
{
    a->dirty = (struct mem_dirty_source){ switched, collect, a, NULL };
    mem_dirty_source_add(a->machine->mem, &a->dirty);
}
