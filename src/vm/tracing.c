/* Events of a VM itself, and the one list of all tables of events. */
#include "vm/vm_internal.h"

#include "char/chardev.h"
#include "hw/types.h"

static const struct trace_event vm_events[] = {
    [VM_TRACE_STATE] = { "vm.state",
                         "the machine begins or ceases to run",
                         { { "from", TRACE_TEXT }, { "to", TRACE_TEXT } } },
    [VM_TRACE_RESET] = { "vm.reset", "everything is about to be reset", { { NULL } } },
    [VM_TRACE_REQUEST] = { "vm.request",
                           "a device asks for a reset, for power off and such",
                           { { "what", TRACE_TEXT }, { "code", TRACE_INT } } },
    [VM_TRACE_END] = { "vm.end",
                       "the run is over",
                       { { "reason", TRACE_TEXT }, { "status", TRACE_INT } } },
    [VM_TRACE_IDLE_SKIP] = { "vm.idle_skip",
                             "an idle machine skips to its next timer",
                             { { "ns", TRACE_DEC } } },
    [VM_TRACE_IDLE_SLEEP] = { "vm.idle_sleep",
                              "an idle machine waits in real time (-1: for ever)",
                              { { "ns", TRACE_INT } } },
    [VM_TRACE_HOOK] = { "vm.hook",
                        "a hook of a script is called",
                        { { "on", TRACE_TEXT }, { "name", TRACE_TEXT } } },
};
struct trace_table vm_trace = TRACE_TABLE(vm_events);

/* The parts of the core, in the order of their folders; the chips follow. */
static struct trace_table *const core_tables[] = {
    &mem_trace,   &device_trace,  &irq_trace,  &pci_trace, &link_trace,
    &slirp_trace, &chardev_trace, &soft_trace, &kvm_trace, &vm_trace,
};

struct trace_table *vm_trace_table(size_t n)
{
    return n < ARRAY_LEN(core_tables) ? core_tables[n] : hw_trace_table(n - ARRAY_LEN(core_tables));
}

static int64_t trace_now(void *opaque)
{
    return clock_now(&((struct vm *)opaque)->machine.virtual);
}

/* Of the thread that executes, or when it does not; who else asks is between two instructions that
 * nobody knows. */
static bool trace_instructions(void *opaque, uint64_t *count)
{
    struct vm *vm = opaque;
    if (!vm->backend->counts_instructions || !vm->cpu_count || !vm_cpus_are_still(vm))
        return false;
    *count = vm_retired(vm);
    return true;
}

void vm_trace_init(struct vm *vm)
{
    vm->trace = (struct trace){ .name = vm->config.name,
                                .table = vm_trace_table,
                                .now = trace_now,
                                .instructions = trace_instructions,
                                .opaque = vm,
                                .lock = loop_lock(vm->loop) };
    vm->machine.trace = &vm->trace;
}

void vm_trace_hook(struct vm *vm, const char *on, const char *name)
{
    TRACE(vm_trace, VM_TRACE_HOOK, vm_source(vm), trace_text(on), trace_text(name));
}
