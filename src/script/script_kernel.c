/* Where the guest's Linux kernel runs, and its symbols and hooks there.
 *
 * A kernel that the host has unpacked runs where it is linked. Any other one may be moved (KASLR)
 * by as much as it likes, and is not mapped at all before it has set itself up. Until then it is
 * not placed: hooks on its symbols wait. The first thing that Linux does where it has mapped
 * itself, before x86_64_start_kernel(), is to write MSR GS_BASE: so writes of MSRs are watched, and
 * each one is an occasion to look. A reset begins anew. Machine lock; cpus that stand still, or one
 * in an event. */
#include "script/script_hook.h"
#include "script/script_symbols.h"

#include "base/log.h"

#include <stddef.h>

enum {
    MSR_LSTAR = 0xc0000082,
    MSR_GS_BASE = 0xc0000101,
    LOOKS_MAX = 4096, /* a guest may write MSRs as often as it likes: one look costs 50 us */
};

static void stop_watching(struct script_symbols *s)
{
    if (s->watching)
        vm_event_remove(&s->watch);
    s->watching = false;
}

static void set_place(struct script_vm *svm, uint64_t slide)
{
    struct script_symbols *s = svm->symbols;
    stop_watching(s);
    s->slide = slide;
    s->placed = true;
    symbols_set_bias(s->table, s->kernel, slide);
    script_hooks_resolve(svm);
}

bool script_kernel_find(struct script_vm *svm, struct vcpu *v, struct error *err)
{
    struct script_symbols *s = svm->symbols;
    struct kvm_sregs sregs;
    struct symbols_anchors anchors = { 0 };
    uint64_t slide;
    if (!s->has_kernel)
        return error_set(err, "none of the symbols loaded are a Linux kernel's");
    v->backend->get_msr(v, MSR_LSTAR, &anchors.lstar, NULL);
    if (v->backend->get_sregs(v, &sregs, NULL))
        anchors.idt_base = sregs.idt.base;
    struct guest_memory mem = guest_memory_of_vcpu(v);
    if (!symbols_find_slide(s->table, s->kernel, &mem, &anchors, &slide, err))
        return false;
    set_place(svm, slide);
    return true;
}

static enum vcpu_verdict look(void *opaque, const struct vm_event_info *info)
{
    struct script_vm *svm = opaque;
    struct script_symbols *s = svm->symbols;
    struct vcpu *v = info->vcpu;
    if (v->backend->get_reg(v, offsetof(struct kvm_regs, rip) / sizeof(uint64_t)) < KERNEL_HALF)
        return VCPU_GO;
    if (!script_kernel_find(svm, v, NULL) && ++s->looks == LOOKS_MAX) {
        stop_watching(s);
        log_host(LOG_WARN, "symbols",
                 "the kernel that runs is not the one whose symbols are loaded: hooks on these "
                 "stay pending");
    }
    return VCPU_GO;
}

/* A backend that cannot tell of MSRs leaves it to vm:find_slide(). */
static void watch(struct script_vm *svm)
{
    struct script_symbols *s = svm->symbols;
    s->looks = 0;
    if (s->watching)
        return;
    s->watch = (struct vm_event){ .kind = VM_EVENT_MSR,
                                  .first = MSR_LSTAR,
                                  .last = MSR_GS_BASE,
                                  .cpu = -1,
                                  .writes = true,
                                  .fire = look,
                                  .opaque = svm };
    s->watching = vm_event_add(svm->vm, &s->watch, NULL);
}

/* Does it run where it is linked? What unpacks itself may move itself. */
static bool runs_as_linked(const struct script_vm *svm)
{
    const struct boot_report *r = &svm->boot_report;
    return svm->booted && (r->format == BOOT_FORMAT_PVH || r->unpacked);
}

void script_kernel_loaded(struct script_vm *svm, unsigned source)
{
    struct script_symbols *s = svm->symbols;
    struct vcpu *v = vm_vcpu(svm->vm, 0);
    stop_watching(s);
    if (s->has_kernel) /* a machine has one: its names would be there twice */
        symbols_unload(s->table, s->kernel);
    s->has_kernel = true;
    s->kernel = source;
    s->slide = 0;
    s->placed = s->by_hand = false;
    if (runs_as_linked(svm))
        set_place(svm, 0);
    else if (!v || !vm_cpu_is_still(svm->vm, 0) || !script_kernel_find(svm, v, NULL))
        watch(svm);
}

void script_kernel_place(struct script_vm *svm, uint64_t slide)
{
    svm->symbols->by_hand = true;
    set_place(svm, slide);
}

void script_kernel_reset(struct script_vm *svm)
{
    struct script_symbols *s = svm->symbols;
    if (!s)
        return;
    symbols_unload_modules(s->table);
    script_modules_forget_orc(s);
    s->modules_refused = false;
    if (s->has_kernel && !s->by_hand) {
        s->placed = runs_as_linked(svm);
        s->slide = 0;
        symbols_set_bias(s->table, s->kernel, 0);
        if (s->placed)
            stop_watching(s);
        else
            watch(svm);
    }
    script_hooks_resolve(svm);
}

bool script_symbol_resolve(struct script_vm *svm, const char *text, uint64_t *addr, bool *pending,
                           struct error *err)
{
    if (!script_symbols_have(svm, err) || !symbols_parse(svm->symbols->table, text, addr, err))
        return false;
    const struct script_symbols *s = svm->symbols;
    bool number = text[0] >= '0' && text[0] <= '9';
    *pending = s->has_kernel && !s->placed && !number && *addr >= KERNEL_HALF;
    return true;
}
