/* A VM: what it is made of, what its devices may ask of it, and its reset. */
#include "vm/vm_internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "hw/types.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what devices ask for ---- */

static void request_end(struct vm *vm, const char *reason, int status)
{
    vm->request.end = true;
    vm->request.status = status;
    snprintf(vm->request.reason, sizeof vm->request.reason, "%s", reason);
}

static void request_pause(struct vm *vm, const char *reason)
{
    vm->request.pause = true;
    snprintf(vm->request.reason, sizeof vm->request.reason, "%s", reason);
}

static void request_reset(struct vm *vm, const char *reason)
{
    vm->request.reset = true;
    vm->request.reset_reason = reason;
}

static void on_request(struct machine *m, enum machine_request what, int code, const char *who)
{
    static const char *const names[] = {
        [REQUEST_RESET] = "reset",
        [REQUEST_POWEROFF] = "poweroff",
        [REQUEST_EXIT] = "exit",
        [REQUEST_SUSPEND] = "suspend",
        [REQUEST_TRIPLE_FAULT] = "triple-fault",
        [REQUEST_PAUSE] = "pause",
    };
    struct vm *vm = m->owner;
    if (vm->request.end)
        return;
    TRACE(vm_trace, VM_TRACE_REQUEST, ((struct trace_source){ &vm->trace, who }),
          trace_text(names[what]), (uint64_t)code);
    switch (what) {
    case REQUEST_RESET:
        if (vm->config.no_reboot)
            request_end(vm, "reset", VM_EXIT_POWEROFF);
        else
            request_reset(vm, "guest");
        break;
    case REQUEST_POWEROFF:
        vm_notify(vm, VM_NOTICE_SHUTDOWN, who);
        if (vm->config.no_shutdown)
            request_pause(vm, "poweroff");
        else
            request_end(vm, "poweroff", VM_EXIT_POWEROFF);
        break;
    case REQUEST_EXIT:
        request_end(vm, "debug-exit", code);
        break;
    case REQUEST_SUSPEND:
        request_pause(vm, "suspend");
        break;
    case REQUEST_TRIPLE_FAULT:
        log_host(LOG_WARN, vm->config.name, "triple fault%s",
                 vm->config.no_reboot ? "" : ": the machine resets");
        if (vm->config.no_reboot)
            request_end(vm, "triple-fault", VM_EXIT_TRIPLE_FAULT);
        else
            request_reset(vm, "triple-fault");
        break;
    case REQUEST_PAUSE:
        request_pause(vm, who);
        break;
    }
    vm_nudge(vm);
}

static const struct machine_ops machine_ops = { .request = on_request };

static void on_knock(void *opaque)
{
    vm_nudge_one(opaque);
}

/* ---- life ---- */

static bool register_types(struct vm *vm, struct error *err)
{
    for (const struct device_type *const *t = hw_types; *t; t++)
        if (!type_register(vm->machine.types, *t, err))
            return false;
    for (const struct device_type *const *t = vcpu_device_types; *t; t++)
        if (!type_register(vm->machine.types, *t, err))
            return false;
    return true;
}

/* What is wanted of a backend that is in no kernel is the machine's own chips. */
static bool choose_irqchip(const struct vcpu_backend *b, enum irqchip *chosen, struct error *err)
{
    if (b->has_irqchips)
        return true;
    if (*chosen == IRQCHIP_SPLIT || *chosen == IRQCHIP_KERNEL)
        return error_set(err,
                         "irqchip=%s: accel \"%s\" is not in the kernel, and its chips are not; "
                         "use irqchip=user, or --accel kvm",
                         *chosen == IRQCHIP_SPLIT ? "split" : "kernel", b->name);
    *chosen = IRQCHIP_USER;
    return true;
}

struct vm *vm_new(struct loop *loop, const struct vm_config *config, struct error *err)
{
    const struct vcpu_backend *backend = vcpu_backend_find(config->accel, err);
    enum irqchip irqchip = config->irqchip;
    if (!backend || !choose_irqchip(backend, &irqchip, err))
        return NULL;
    struct vm *vm = ALLOC(struct vm);
    vm->loop = loop;
    vm->backend = backend;
    vm->config = *config;
    vm->config.name = alloc_string(config->name ? config->name : "vm");
    vm->config.accel = backend->name;
    if (!vm->config.ns_per_instruction)
        vm->config.ns_per_instruction = 1;
    vm->horizon_ns = CLOCK_NEVER;
    waiter_init(&vm->parking);
    vm_trace_init(vm);
    vm->net = net_new(&vm->machine.virtual);
    net_set_trace(vm->net, &vm->trace);
    vm->machine.ops = &machine_ops;
    vm->machine.owner = vm;
    vm->machine.door = door_new(on_knock, vm);
    vm_time_init(vm);
    machine_init(&vm->machine, loop, type_registry_new());
    vm->machine.irqchip = irqchip;
    if (!register_types(vm, err)) {
        vm_free(vm);
        return NULL;
    }
    return vm;
}

void vm_free(struct vm *vm)
{
    if (!vm)
        return;
    if (vm->state == VM_RUNNING)
        vm_end(vm, "quit", VM_EXIT_POWEROFF);
    vm_stop_runners(vm);
    cluster_forget(vm);
    struct type_registry *types = vm->machine.types;
    machine_free_devices(&vm->machine); /* they know cpus; cpus know memory, but no devices */
    for (unsigned n = 0; n < vm->cpu_count; n++) {
        struct cpu_port *port = vm->cpus[n].vcpu->port;
        vm->backend->vcpu_free(vm->cpus[n].vcpu);
        free(port);
    }
    vm->cpu_count = 0;
    vm_forget_runners(vm);
    if (vm->accel)
        vm->backend->close(vm->accel);
    if (vm->teardown)
        vm->teardown(vm->teardown_opaque);
    machine_fini(&vm->machine);
    vm_time_fini(vm);
    net_free(vm->net);
    vm_events_fini(vm);
    clock_fini(&vm->instructions);
    clock_fini(&vm->machine.virtual);
    clock_fini(&vm->machine.virtual_rt);
    clock_fini(&vm->machine.host);
    door_free(vm->machine.door);
    type_registry_free(types);
    trace_fini(&vm->trace);
    waiter_fini(&vm->parking);
    free((char *)vm->config.name);
    free(vm);
}

static void wake_cpu(void *opaque)
{
    struct vm_cpu *c = opaque;
    c->waits = false;
    waiter_wake(&c->runner->waiter);
}

struct cpu_port *vm_add_cpu(struct vm *vm, const char *model, struct error *err)
{
    unsigned index = vm->cpu_count;
    if (vm->state != VM_CREATED) {
        error_set(err, "cpu: cpus are added before the machine starts");
        return NULL;
    }
    if (index >= MACHINE_CPUS_MAX) {
        error_set(err, "cpus: a machine has at most %d", MACHINE_CPUS_MAX);
        return NULL;
    }
    if (!vm->accel && !(vm->accel = vm->backend->open(&vm->machine, err)))
        return NULL;
    struct cpu_port *port = ALLOC(struct cpu_port);
    port->index = port->apic_id = index;
    port->bootstrap = index == 0;
    struct vcpu *v = vm->backend->vcpu_new(vm->accel, port, model, err);
    if (!v) {
        free(port);
        return NULL;
    }
    struct vm_cpu *c = &vm->cpus[index];
    *c = (struct vm_cpu){ .vm = vm, .vcpu = v };
    vm_time_add_cpu(c);
    vm_assign_runner(vm, c);
    v->wake = wake_cpu;
    v->wake_opaque = c;
    v->next_slice = vm_next_slice;
    v->event_ops = &vm_vcpu_event_ops;
    v->event_opaque = vm;
    vm->cpu_count++;
    vm->machine.cpus[index] = port;
    vm->machine.cpu_count = vm->cpu_count;
    return port;
}

/* ---- reset ---- */

void vm_set_boot(struct vm *vm, bool (*boot)(void *, struct vm *, struct error *), void *opaque)
{
    vm->boot = boot;
    vm->boot_opaque = opaque;
}

void vm_set_teardown(struct vm *vm, void (*teardown)(void *), void *opaque)
{
    vm->teardown = teardown;
    vm->teardown_opaque = opaque;
}

bool vm_reset_parts(struct vm *vm, struct error *err)
{
    vm->exit_reason[0] = 0;
    vm->exit_status = 0;
    vm->request = (struct vm_request){ .reset = false };
    TRACE(vm_trace, VM_TRACE_RESET, vm_source(vm));
    vm_reset_runners(vm);
    machine_reset_devices(&vm->machine);
    for (unsigned n = 0; n < vm->cpu_count; n++)
        vm->backend->reset(vm->cpus[n].vcpu);
    vm_set_state(vm, VM_PAUSED);
    return !vm->boot || vm->boot(vm->boot_opaque, vm, err);
}

bool vm_reset(struct vm *vm, struct error *err)
{
    if (vm->state == VM_RUNNING && !vm_on_runner(vm))
        vm_pause(vm, "reset");
    if (!vm_reset_parts(vm, err))
        return false;
    vm_notify(vm, VM_NOTICE_RESET, "user");
    return true;
}

/* ---- questions ---- */

struct machine *vm_machine(struct vm *vm)
{
    return &vm->machine;
}

struct net *vm_net(struct vm *vm)
{
    return vm->net;
}

const char *vm_name(const struct vm *vm)
{
    return vm->config.name;
}

struct trace *vm_trace_of(struct vm *vm)
{
    return &vm->trace;
}

struct vm_config *vm_config(struct vm *vm)
{
    return &vm->config;
}

const struct vcpu_backend *vm_backend(const struct vm *vm)
{
    return vm->backend;
}

struct vcpu *vm_vcpu(struct vm *vm, unsigned index)
{
    return index < vm->cpu_count ? vm->cpus[index].vcpu : NULL;
}

enum irqchip vm_irqchip(const struct vm *vm)
{
    return vm->machine.irqchip == IRQCHIP_AUTO ? IRQCHIP_USER : vm->machine.irqchip;
}

enum vm_state vm_state(const struct vm *vm)
{
    return vm->state;
}

const char *vm_exit_reason(const struct vm *vm)
{
    return vm->exit_reason;
}

int vm_exit_status(const struct vm *vm)
{
    return vm->exit_status;
}

const char *vm_pause_reason(const struct vm *vm)
{
    return vm->pause_reason;
}

int64_t vm_idle_skipped_ns(const struct vm *vm)
{
    return vm->skipped_ns;
}

void vm_get_cpu_stats(struct vm *vm, unsigned index, struct vcpu_stats *stats)
{
    if (vm->backend->counts_instructions && !vm_cpus_are_still(vm))
        *stats = vm->published_stats[index];
    else /* others count with the machine lock held */
        vm->backend->get_stats(vm->cpus[index].vcpu, stats);
}

void vm_get_stats(struct vm *vm, struct vcpu_stats *total)
{
    *total = (struct vcpu_stats){ .instructions = 0 };
    for (unsigned n = 0; n < vm->cpu_count; n++) {
        struct vcpu_stats s;
        vm_get_cpu_stats(vm, n, &s);
        total->instructions += s.instructions;
        total->exits_pio += s.exits_pio;
        total->exits_mmio += s.exits_mmio;
        total->exits_halt += s.exits_halt;
        total->exits_shutdown += s.exits_shutdown;
        total->exits_kick += s.exits_kick;
        total->exits_other += s.exits_other;
        total->interrupts += s.interrupts;
        total->exceptions += s.exceptions;
        total->blocks_decoded += s.blocks_decoded;
        total->host_calls += s.host_calls;
    }
}

void vm_set_observer(struct vm *vm,
                     void (*notice)(void *, struct vm *, enum vm_notice, const char *),
                     void *opaque)
{
    vm->notice = notice;
    vm->notice_opaque = opaque;
}
