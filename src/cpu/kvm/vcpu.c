/* A vcpu under KVM: the loop around KVM_RUN, its pins, kicks. What exits ask for is in exits.c.
 *
 * The machine lock is held except inside of the guest. An access that exits is completed by the
 * next KVM_RUN; so a kick is honoured only when KVM_RUN itself says that it was interrupted, which
 * is after the completion.
 *
 * A kick must not fall between the last look at `kicked` and the guest. run->immediate_exit closes
 * the gap: KVM looks at it after the signal could last have been lost. Who kicks sets it and sends
 * the signal; whichever comes too early for the other works. */
#include "cpu/kvm/debug.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "base/log.h"
#include "loop/loop.h"

#include <errno.h>
#include <sched.h>
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
    /* KVM_RUN returns in any case; other calls, of hooks that write to a pipe say, go on. */
    struct sigaction action = { .sa_handler = kick_handler, .sa_flags = SA_RESTART };

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

void kvm_wait_outside(const struct accel *a, const struct kvm_vcpu *but)
{
    for (unsigned i = 0; i < a->vcpu_count; i++)
        while (a->vcpus[i] != but && atomic_load(&a->vcpus[i]->in_guest))
            sched_yield();
}

bool kvm_be_alone(struct kvm_vcpu *v)
{
    struct accel *a = v->accel;

    if (a->alone)
        return a->alone == v;
    a->alone = v;
    for (unsigned i = 0; i < a->vcpu_count; i++)
        if (a->vcpus[i] != v)
            kvm_vcpu_interrupt(a->vcpus[i]);
    kvm_wait_outside(a, v);
    return true;
}

bool kvm_vcpu_take_kick(struct kvm_vcpu *v)
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
    struct kvm_vcpu *v = p->vcpu;

    v->init_waits = true;
    v->sipi_waits = false;
    kvm_vcpu_kick(&v->vcpu);
}

static void pin_startup(struct cpu_port *p, uint8_t vector)
{
    struct kvm_vcpu *v = p->vcpu;

    v->sipi_waits = true;
    v->sipi_vector = vector;
    kvm_vcpu_kick(&v->vcpu);
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

/* ---- entry: machine lock until the guest is entered ---- */

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

static void inject(struct kvm_vcpu *v)
{
    struct cpu_port *p = v->vcpu.port;
    struct kvm_run *run = v->run;

    run->request_interrupt_window = 0;
    kvm_inject_waiting(v);
    if (kvm_debug_holds_interrupts(v))
        return;
    if (v->nmi && kvm_vcpu_ioctl(v, KVM_NMI, NULL) == 0) {
        v->nmi = false;
        v->stats.interrupts++;
    }
    if (v->intr && p->intc && run->ready_for_interrupt_injection && run->if_flag) {
        int vector = p->intc_ops->acknowledge(p->intc);

        if (vector >= 0) {
            struct kvm_interrupt interrupt = { .irq = vector };
            TRACE(kvm_trace, KVM_TRACE_INTERRUPT, vcpu_source(&v->vcpu), (uint64_t)vector);

            if (kvm_vcpu_ioctl(v, KVM_INTERRUPT, &interrupt) < 0)
                log_host(LOG_ERROR, "kvm", "interrupt 0x%x is lost: %s", vector, strerror(errno));
            run->ready_for_interrupt_injection = 0;
            v->stats.interrupts++;
        }
    }
    run->request_interrupt_window = v->intr;
}

/* INIT and SIPI take effect between instructions: an access under way is completed first, for which
 * the kick of the pin has seen. */
static void take_init(struct kvm_vcpu *v)
{
    if (v->incomplete)
        return;
    if (v->init_waits) {
        kvm_state_init_signal(v);
        v->halted = false;
        v->wait_sipi = !v->vcpu.port->bootstrap;
    }
    if (v->sipi_waits && v->wait_sipi) {
        kvm_state_startup(v, v->sipi_vector);
        v->wait_sipi = false;
    }
    v->init_waits = v->sipi_waits = false;
}

static bool may_wake(const struct kvm_vcpu *v)
{
    return v->nmi || v->exception_waits || (v->intr && v->run->if_flag);
}

/* False with *stop: it has nothing to execute. A wake-up may have come between HLT and here. */
static bool prepare(struct kvm_vcpu *v, enum vcpu_stop *stop)
{
    if (v->init_waits || v->sipi_waits)
        take_init(v);
    if (v->wait_sipi || (v->halted && !may_wake(v))) {
        *stop = kvm_vcpu_take_kick(v) ? VCPU_STOP_KICK
                : v->wait_sipi        ? VCPU_STOP_WAIT_SIPI
                                      : VCPU_STOP_HALT;
        return false;
    }
    v->halted = false;
    inject(v);
    sync_to_guest(v);
    kvm_debug_enter(v);
    kvm_state_enter(v);
    return true;
}

/* Must it stay outside? Slots that began to change before immediate_exit was cleared are seen here,
 * later ones set it again; so do writes to pages whose copies have to be made anew, and another
 * vcpu that wants to be alone, which takes a few microseconds. Who came second to that has to come
 * round once more: the trap that it wants to pass is still in its way. */
static bool kept_out(struct kvm_vcpu *v)
{
    struct kvm_vcpu *alone = v->accel->alone;

    return (alone && alone != v) || v->crowded || atomic_load(&v->accel->changing) ||
           atomic_load(&v->accel->pages.stale);
}

/* May it enter? An access under way is completed even if not: with immediate_exit set that is all
 * that KVM_RUN does. Only a change of slots has to be waited for.
 *
 * Who kicks sets `kicked`, then immediate_exit; who wants it outside sets what kept_out() looks at,
 * then immediate_exit, and waits for in_guest to be false. Here immediate_exit is cleared, in_guest
 * is set, and these are looked at: one exchange is the barrier for both. */
static bool may_enter(struct kvm_vcpu *v)
{
    for (;;) {
        bool out;

        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_RELAXED);
        atomic_exchange(&v->in_guest, true);
        out = kept_out(v);
        if (out || atomic_load(&v->kicked))
            __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        if (!out || (v->incomplete && !atomic_load(&v->accel->changing)))
            return true;
        atomic_store_explicit(&v->in_guest, false, memory_order_release);
        sched_yield();
        if (!v->incomplete)
            return false;
    }
}

/* Without the machine lock. 0 or the errno of KVM_RUN. */
static int enter_guest(struct kvm_vcpu *v)
{
    int error;

    if (!may_enter(v))
        return EINTR;
    error = ioctl(v->fd, KVM_RUN, 0) < 0 ? errno : 0;
    kvm_state_left(v);
    atomic_store_explicit(&v->in_guest, false, memory_order_release);
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

/* Slots that the kernel has refused are asked for again. */
static bool has_memory(struct kvm_vcpu *v)
{
    if (v->accel->slots_incomplete)
        kvm_memslots_arrange(v->accel);
    return !kvm_memslots_take_refusal(v->accel, &v->vcpu.failure);
}

enum vcpu_stop kvm_vcpu_run(struct vcpu *vcpu, uint64_t limit)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);
    struct machine_lock *lock = loop_lock(vcpu->machine->loop);
    enum vcpu_stop stop;
    int error;

    set_thread(v, true);
    machine_lock_take(lock);
    if (!has_memory(v)) {
        machine_lock_release(lock);
        set_thread(v, false);
        return VCPU_STOP_ERROR;
    }
    kvm_debug_before_run(v);
    while (prepare(v, &stop)) {
        machine_lock_release(lock);
        error = enter_guest(v);
        machine_lock_take(lock);
        kvm_debug_leave(v, error == EINTR);
        sync_from_guest(v);
        if (!kvm_exit_handle(v, error, &stop))
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

    v->fd = ioctl(v->accel->vm_fd, KVM_CREATE_VCPU, (unsigned long)v->vcpu.port->apic_id);
    if (v->fd < 0)
        return error_set_host(err, errno,
                              "kvm: cannot create a vcpu; fewer of them (--smp), a higher limit of "
                              "open files (ulimit -n), or --accel soft may help");
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

    if (a->vcpu_count >= a->vcpus_max) {
        error_set(err,
                  "kvm: this host's kernel runs at most %u cpus in a machine: use --smp %u, or "
                  "--accel soft",
                  a->vcpus_max, a->vcpus_max);
        return NULL;
    }
    if (!cpu_model_parse(model, &a->offer, &features, err))
        return NULL;
    kvm_prepare_kicks();
    v = ALLOC(struct kvm_vcpu);
    v->vcpu = (struct vcpu){
        .backend = &vcpu_kvm, .machine = a->machine, .port = port, .memory = a->machine->memory
    };
    v->accel = a;
    v->features = features;
    v->fd = -1;
    pthread_mutex_init(&v->kick_lock, NULL);
    if (!create(v, err)) {
        kvm_vcpu_free(&v->vcpu);
        return NULL;
    }
    a->vcpus[a->vcpu_count++] = v;
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
    kvm_memslots_forget(v->accel, v);
    kvm_debug_free(v);
    if (v->run)
        munmap(v->run, v->accel->run_size);
    if (v->fd >= 0)
        close(v->fd);
    pthread_mutex_destroy(&v->kick_lock);
    free(v);
}
