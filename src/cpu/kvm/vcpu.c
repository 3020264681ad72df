/* The vcpu under KVM: the loop around KVM_RUN, what its exits ask for, interrupts in, kicks.
 *
 * The machine lock is held except inside of the guest. An access that exits is completed by the
 * next KVM_RUN; so a kick is honoured only when KVM_RUN itself says that it was interrupted, which
 * is after the completion.
 *
 * A kick must not fall between the last look at `kicked` and the guest. run->immediate_exit closes
 * the gap: KVM looks at it after the signal could last have been lost. Who kicks sets it and sends
 * the signal; whichever comes too early for the other works. */
#include "cpu/kvm/kvm_internal.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "base/log.h"
#include "loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* A real-time signal that nobody else has; its arrival alone makes KVM_RUN return. */
int kvm_kick_signal(void)
{
    return SIGRTMIN + 3;
}

static void kick_handler(int signal_number)
{
}

/* A signal handler belongs to the whole process, so this is installed once and stays. */
static void install_kick_handler(void)
{
    struct sigaction action = { .sa_handler = kick_handler };

    sigemptyset(&action.sa_mask);
    sigaction(kvm_kick_signal(), &action, NULL);
}

void kvm_prepare_kicks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, install_kick_handler);
}

void kvm_vcpu_interrupt(struct kvm_vcpu *v)
{
    pthread_mutex_lock(&v->kick_lock);
    __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (v->on_thread)
        pthread_kill(v->thread, kvm_kick_signal());
    pthread_mutex_unlock(&v->kick_lock);
}

void kvm_vcpu_kick(struct vcpu *vcpu)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);

    atomic_store(&v->kicked, true);
    kvm_vcpu_interrupt(v);
    vcpu_wake(vcpu);
}

static bool take_kick(struct kvm_vcpu *v)
{
    bool kicked;

    pthread_mutex_lock(&v->kick_lock);
    kicked = atomic_exchange(&v->kicked, false);
    pthread_mutex_unlock(&v->kick_lock);
    return kicked;
}

/* ---- pins: machine lock ---- */

static void pin_intr(struct cpu_port *p, bool level)
{
    struct kvm_vcpu *v = p->vcpu;

    v->intr = level;
    if (level)
        kvm_vcpu_kick(&v->vcpu);
}

static void pin_nmi(struct cpu_port *p)
{
    struct kvm_vcpu *v = p->vcpu;

    v->nmi = true;
    kvm_vcpu_kick(&v->vcpu);
}

static void pin_smi(struct cpu_port *p)
{
    log_guest("kvm", "SMI: there is no system management mode under kvm; ignored");
}

static void pin_init(struct cpu_port *p)
{
    log_guest("kvm", "INIT to the only cpu: ignored under kvm");
}

static void pin_startup(struct cpu_port *p, uint8_t vector)
{
    log_guest("kvm", "SIPI to a cpu that runs: ignored");
}

static void pin_a20(struct cpu_port *p, bool enabled)
{
    if (!enabled)
        log_guest("kvm", "the A20 gate stays open under kvm");
}

static const struct cpu_pins pins = {
    .intr = pin_intr,
    .nmi = pin_nmi,
    .smi = pin_smi,
    .init = pin_init,
    .startup = pin_startup,
    .a20 = pin_a20,
    .tsc = kvm_tsc,
    .tsc_deadline_ns = kvm_tsc_deadline_ns,
};

static const struct trace_event kvm_events[] = {
    [KVM_TRACE_PIO] = { "kvm.pio",
                        "the guest has left for a port access",
                        { { "port", TRACE_HEX },
                          { "size", TRACE_BYTES },
                          { "count", TRACE_DEC },
                          { "write", TRACE_BOOL } } },
    [KVM_TRACE_MMIO] = { "kvm.mmio",
                         "the guest has left for an access to what is not RAM",
                         { { "gpa", TRACE_HEX },
                           { "size", TRACE_BYTES },
                           { "write", TRACE_BOOL } } },
    [KVM_TRACE_EXIT] = { "kvm.exit",
                         "the guest has left for another reason (KVM_EXIT_...)",
                         { { "reason", TRACE_DEC } } },
    [KVM_TRACE_INTERRUPT] = { "kvm.interrupt",
                              "an interrupt is injected",
                              { { "vector", TRACE_HEX } } },
    [KVM_TRACE_LINE] = { "kvm.line",
                         "a line into a chip in the kernel changes",
                         { { "gsi", TRACE_DEC }, { "level", TRACE_BOOL } } },
    [KVM_TRACE_MSI] = { "kvm.msi",
                        "a message goes to the local APICs in the kernel",
                        { { "addr", TRACE_HEX }, { "data", TRACE_HEX } } },
    [KVM_TRACE_EOI] = { "kvm.eoi",
                        "a local APIC in the kernel tells of an end of interrupt",
                        { { "vector", TRACE_HEX } } },
};
struct trace_table kvm_trace = TRACE_TABLE(kvm_events);

/* ---- exits: machine lock ---- */

/* One exit for up to `count` accesses: INS and OUTS with a repeat prefix. */
static void exit_pio(struct kvm_vcpu *v)
{
    struct kvm_run *run = v->run;
    struct machine *m = v->vcpu.machine;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    v->stats.exits_pio++;
    TRACE(kvm_trace, KVM_TRACE_PIO, vcpu_source(&v->vcpu), run->io.port, run->io.size,
          run->io.count, run->io.direction == KVM_EXIT_IO_OUT);
    m->current_cpu = v->vcpu.port;
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint64_t value = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, run->io.size);
            address_space_store(m->io, run->io.port, run->io.size, value);
        } else {
            address_space_load(m->io, run->io.port, run->io.size, &value);
            memcpy(data, &value, run->io.size);
        }
    }
    m->current_cpu = NULL;
}

/* Accesses that crossed a page come in odd lengths: those go byte by byte, as wide as the devices
 * allow. */
static void exit_mmio(struct kvm_vcpu *v)
{
    struct kvm_run *run = v->run;
    struct machine *m = v->vcpu.machine;
    uint64_t addr = run->mmio.phys_addr, value = 0;
    unsigned len = run->mmio.len;

    v->stats.exits_mmio++;
    TRACE(kvm_trace, KVM_TRACE_MMIO, vcpu_source(&v->vcpu), addr, len, !!run->mmio.is_write);
    m->current_cpu = v->vcpu.port;
    if (!is_pow2(len) && run->mmio.is_write) {
        address_space_write(m->memory, addr, run->mmio.data, len);
    } else if (!is_pow2(len)) {
        address_space_read(m->memory, addr, run->mmio.data, len);
    } else if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, len);
        address_space_store(m->memory, addr, len, value);
    } else {
        address_space_load(m->memory, addr, len, &value);
        memcpy(run->mmio.data, &value, len);
    }
    m->current_cpu = NULL;
}

static enum vcpu_stop exit_failure(struct kvm_vcpu *v, const char *what, uint64_t reason)
{
    char why[96];

    snprintf(why, sizeof why, "%s (0x%llx)", what, (unsigned long long)reason);
    v->stats.exits_other++;
    kvm_state_describe(v, why);
    return VCPU_STOP_ERROR;
}

static const char *internal_error_name(uint32_t suberror)
{
    switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        return "the host's kernel cannot emulate an instruction";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        return "an exception while another was delivered";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        return "an exit while an event was delivered";
    default:
        return "an internal error of the host's kernel";
    }
}

/* CR8 and the APIC base go both ways through the shared area. */
static void sync_from_guest(struct kvm_vcpu *v)
{
    struct cpu_port *p = v->vcpu.port;

    if (!p->apic)
        return;
    if (v->run->cr8 != v->cr8)
        p->apic_ops->set_tpr(p->apic, v->run->cr8);
    if (v->run->apic_base != v->apic_base)
        p->apic_ops->set_base(p->apic, v->run->apic_base);
}

static void sync_to_guest(struct kvm_vcpu *v)
{
    struct cpu_port *p = v->vcpu.port;

    if (!p->apic)
        return;
    v->run->cr8 = v->cr8 = p->apic_ops->get_tpr(p->apic);
    v->run->apic_base = v->apic_base = p->apic_ops->get_base(p->apic);
}

/* False with *stop: `run` is over. */
static bool handle_exit(struct kvm_vcpu *v, int entry_errno, enum vcpu_stop *stop)
{
    struct kvm_run *run = v->run;

    if (entry_errno == EINTR || entry_errno == EAGAIN) {
        if (!take_kick(v))
            return true;
        v->stats.exits_kick++;
        *stop = v->stop_wanted ? VCPU_STOP_DEBUG : VCPU_STOP_KICK;
        v->stop_wanted = false;
        return false;
    }
    if (entry_errno) {
        *stop = exit_failure(v, "KVM_RUN fails", entry_errno);
        return false;
    }
    if (run->exit_reason != KVM_EXIT_IO && run->exit_reason != KVM_EXIT_MMIO)
        TRACE(kvm_trace, KVM_TRACE_EXIT, vcpu_source(&v->vcpu), run->exit_reason);
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        exit_pio(v);
        return true;
    case KVM_EXIT_MMIO:
        exit_mmio(v);
        return true;
    case KVM_EXIT_HLT:
        v->stats.exits_halt++;
        kvm_debug_halted(v);
        v->halted = true; /* the next round decides whether it sleeps */
        return true;
    case KVM_EXIT_IOAPIC_EOI:
        v->stats.exits_other++;
        TRACE(kvm_trace, KVM_TRACE_EOI, vcpu_source(&v->vcpu), run->eoi.vector);
        machine_eoi(v->vcpu.machine, run->eoi.vector);
        return true;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
    case KVM_EXIT_SET_TPR:
        v->stats.exits_other++;
        return true;
    case KVM_EXIT_SHUTDOWN:
        v->stats.exits_shutdown++;
        *stop = VCPU_STOP_SHUTDOWN;
        return false;
    case KVM_EXIT_DEBUG:
        v->stats.exits_other++;
        *stop = VCPU_STOP_DEBUG;
        return kvm_debug_exit(v);
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        v->stats.exits_other++;
        kvm_debug_exit_msr(v, run->exit_reason == KVM_EXIT_X86_WRMSR);
        return true;
    case KVM_EXIT_FAIL_ENTRY:
        *stop = exit_failure(v, "the processor refuses to enter the guest",
                             run->fail_entry.hardware_entry_failure_reason);
        return false;
    case KVM_EXIT_INTERNAL_ERROR:
        *stop =
            exit_failure(v, internal_error_name(run->internal.suberror), run->internal.suberror);
        return false;
    default:
        *stop = exit_failure(v, "an exit that is not known here", run->exit_reason);
        return false;
    }
}

/* ---- entry: machine lock until the guest is entered ---- */

static void inject(struct kvm_vcpu *v)
{
    struct cpu_port *p = v->vcpu.port;
    struct kvm_run *run = v->run;

    kvm_inject_waiting(v);
    if (v->nmi && kvm_ioctl(v->fd, KVM_NMI, NULL) == 0) {
        v->nmi = false;
        v->stats.interrupts++;
    }
    if (v->intr && p->intc && run->ready_for_interrupt_injection && run->if_flag) {
        int vector = p->intc_ops->acknowledge(p->intc);

        if (vector >= 0) {
            struct kvm_interrupt interrupt = { .irq = vector };
            TRACE(kvm_trace, KVM_TRACE_INTERRUPT, vcpu_source(&v->vcpu), (uint64_t)vector);

            if (kvm_ioctl(v->fd, KVM_INTERRUPT, &interrupt) < 0)
                log_host(LOG_ERROR, "kvm", "interrupt 0x%x is lost: %s", vector, strerror(errno));
            run->ready_for_interrupt_injection = 0;
            v->stats.interrupts++;
        }
    }
    run->request_interrupt_window = v->intr;
}

/* False with *stop: still halted. A wake-up may have come between HLT and here. */
static bool prepare(struct kvm_vcpu *v, enum vcpu_stop *stop)
{
    if (v->halted && !v->nmi && !v->exception_waits && !(v->intr && v->run->if_flag)) {
        *stop = take_kick(v) ? VCPU_STOP_KICK : VCPU_STOP_HALT;
        return false;
    }
    v->halted = false;
    inject(v);
    sync_to_guest(v);
    return true;
}

/* Without the machine lock. 0 or the errno of KVM_RUN. */
static int enter_guest(struct kvm_vcpu *v)
{
    int error = EINTR;

    pthread_mutex_lock(&v->kick_lock);
    __atomic_store_n(&v->run->immediate_exit, atomic_load(&v->kicked), __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&v->kick_lock);
    pthread_mutex_lock(&v->in_guest);
    /* Slots that began to change before immediate_exit was cleared are seen here, later ones set it
     * again. */
    if (!atomic_load(&v->accel->changing))
        error = ioctl(v->fd, KVM_RUN, 0) < 0 ? errno : 0;
    pthread_mutex_unlock(&v->in_guest);
    return error;
}

static void set_thread(struct kvm_vcpu *v, bool on)
{
    sigset_t set;

    if (on) { /* the thread may have been made with everything blocked */
        sigemptyset(&set);
        sigaddset(&set, kvm_kick_signal());
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    }
    pthread_mutex_lock(&v->kick_lock);
    v->thread = pthread_self();
    v->on_thread = on;
    pthread_mutex_unlock(&v->kick_lock);
}

enum vcpu_stop kvm_vcpu_run(struct vcpu *vcpu, uint64_t limit)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);
    struct machine_lock *lock = loop_lock(vcpu->machine->loop);
    enum vcpu_stop stop;
    int error;

    set_thread(v, true);
    machine_lock_take(lock);
    kvm_debug_before_run(v);
    while (prepare(v, &stop)) {
        machine_lock_release(lock);
        error = enter_guest(v);
        machine_lock_take(lock);
        sync_from_guest(v);
        if (!handle_exit(v, error, &stop))
            break;
    }
    machine_lock_release(lock);
    set_thread(v, false);
    return stop;
}

/* ---- life ---- */

static bool create(struct kvm_vcpu *v, struct error *err)
{
    void *area;

    v->fd = ioctl(v->accel->vm_fd, KVM_CREATE_VCPU, 0);
    if (v->fd < 0)
        return error_set_host(err, errno, "kvm: cannot create a vcpu");
    area = mmap(NULL, v->accel->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (area == MAP_FAILED)
        return error_set_host(err, errno, "kvm: cannot map the vcpu's shared area");
    v->run = area;
    return kvm_cpuid_set(v, err) && kvm_state_init(v, err);
}

struct vcpu *kvm_vcpu_new(struct accel *a, struct cpu_port *port, const char *model,
                          struct error *err)
{
    struct cpu_features features;
    struct kvm_vcpu *v;

    if (a->vcpu) {
        error_set(err, "kvm: one cpu only; use --accel soft for more");
        return NULL;
    }
    if (!cpu_model_parse(model, &a->offer, &features, err))
        return NULL;
    kvm_prepare_kicks();
    v = ALLOC(struct kvm_vcpu);
    v->vcpu = (struct vcpu){ .backend = &vcpu_kvm, .machine = a->machine, .port = port };
    v->accel = a;
    v->features = features;
    pthread_mutex_init(&v->in_guest, NULL);
    pthread_mutex_init(&v->kick_lock, NULL);
    if (!create(v, err)) {
        kvm_vcpu_free(&v->vcpu);
        return NULL;
    }
    a->vcpu = v;
    port->vcpu = v;
    port->pins = &pins;
    kvm_vcpu_reset(&v->vcpu);
    return &v->vcpu;
}

void kvm_vcpu_free(struct vcpu *vcpu)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);

    if (!v)
        return;
    if (v->accel->vcpu == v)
        v->accel->vcpu = NULL;
    if (v->run)
        munmap(v->run, v->accel->run_size);
    if (v->fd >= 0)
        close(v->fd);
    pthread_mutex_destroy(&v->kick_lock);
    pthread_mutex_destroy(&v->in_guest);
    free(v);
}
