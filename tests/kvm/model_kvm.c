/* The calls of a /dev/kvm that is a model: see model_kvm.h. What it does not know fails with
 * EINVAL, as old kernels do. Descriptors are files in memory; a vcpu's is the area that it shares.
 */
#define _GNU_SOURCE
#include "model_kvm.h"

#include <cpuid.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FDS = 1024, KICK_OFFSET = 3 /* of SIGRTMIN: the backend's signal */ };

enum kind { NOBODY, DEVICE, VM, VCPU };

/* A descriptor's number is used again when it is closed: the newest holds. What had it before has
 * been out of use since then. */
static struct {
    enum kind kind;
    void *object;
} table[FDS];

static int refuse(int error)
{
    errno = error;
    return -1;
}

static int add(const char *name, enum kind kind, void *object)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0 || fd >= FDS)
        return refuse(EMFILE);
    if (table[fd].kind == VCPU)
        munmap(((struct model_vcpu *)table[fd].object)->run, MODEL_RUN_SIZE);
    free(table[fd].object);
    table[fd].kind = kind;
    table[fd].object = object;
    return fd;
}

struct model_vcpu *model_vcpu(int fd)
{
    return fd >= 0 && fd < FDS && table[fd].kind == VCPU ? table[fd].object : NULL;
}

/* ---- the device ---- */

static bool lacks(const char *what)
{
    const char *all = getenv("MODEL_KVM");

    return all && strstr(all, what);
}

static int capability(uintptr_t number)
{
    switch (number) {
    case KVM_CAP_USER_MEMORY:
    case KVM_CAP_READONLY_MEM:
    case KVM_CAP_IMMEDIATE_EXIT:
    case KVM_CAP_EXT_CPUID:
    case KVM_CAP_SET_TSS_ADDR:
    case KVM_CAP_SET_GUEST_DEBUG:
    case KVM_CAP_DEBUGREGS:
    case KVM_CAP_X86_USER_SPACE_MSR:
    case KVM_CAP_X86_MSR_FILTER:
        return 1;
    case KVM_CAP_SET_GUEST_DEBUG2:
        return KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |
               KVM_GUESTDBG_USE_HW_BP | (lacks("blockirq") ? 0 : KVM_GUESTDBG_BLOCKIRQ);
    case KVM_CAP_NR_MEMSLOTS:
        return MODEL_SLOTS;
    case KVM_CAP_MAX_VCPUS:
        return MODEL_CPUS;
    case KVM_CAP_SYNC_REGS:
        return KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    default:
        return 0;
    }
}

static int supported_cpuid(struct kvm_cpuid2 *c)
{
    static const uint32_t leaves[] = { 0, 1, 0x80000000, 0x80000001 };

    c->nent = sizeof leaves / sizeof *leaves;
    for (unsigned n = 0; n < c->nent; n++) {
        struct kvm_cpuid_entry2 *e = &c->entries[n];

        *e = (struct kvm_cpuid_entry2){ .function = leaves[n] };
        __get_cpuid(e->function, &e->eax, &e->ebx, &e->ecx, &e->edx);
        if (e->function == 1)
            e->ecx &= ~(1u << 26); /* no XSAVE, and what needs it */
    }
    return 0;
}

static int msr_list(struct kvm_msr_list *list)
{
    uint32_t room = list->nmsrs;

    list->nmsrs = 1;
    if (room < 1)
        return refuse(E2BIG);
    list->indices[0] = 0x174;
    return 0;
}

static int create_vm(void)
{
    struct model_vm *vm = calloc(1, sizeof *vm);

    pthread_mutex_init(&vm->lock, NULL);
    vm->no_points = lacks("points");
    vm->no_int3 = lacks("int3");
    return add("model-vm", VM, vm);
}

static int device_call(unsigned long request, void *argument)
{
    switch (request) {
    case KVM_GET_API_VERSION:
        return KVM_API_VERSION;
    case KVM_CHECK_EXTENSION:
        return capability((uintptr_t)argument);
    case KVM_GET_VCPU_MMAP_SIZE:
        return MODEL_RUN_SIZE;
    case KVM_GET_SUPPORTED_CPUID:
        return supported_cpuid(argument);
    case KVM_GET_MSR_INDEX_LIST:
        return msr_list(argument);
    case KVM_CREATE_VM:
        return create_vm();
    default:
        return refuse(EINVAL);
    }
}

/* ---- the machine ---- */

static void reset(struct model_vcpu *v)
{
    v->regs = (struct kvm_regs){ .rip = 0xfff0, .rflags = 2 };
    v->sregs = (struct kvm_sregs){ .cr0 = 0x60000010, .idt.limit = 0xffff };
    v->sregs.cs = (struct kvm_segment){
        .base = 0xffff0000, .limit = 0xffff, .selector = 0xf000, .type = 11, .present = 1, .s = 1
    };
    v->debugregs = (struct kvm_debugregs){ .dr6 = 0xffff0ff0, .dr7 = 0x400 };
}

static int create_vcpu(struct model_vm *vm)
{
    struct model_vcpu *v = calloc(1, sizeof *v);

    v->vm = vm;
    v->fd = add("model-vcpu", VCPU, v);
    if (v->fd < 0 || ftruncate(v->fd, MODEL_RUN_SIZE) < 0)
        return -1;
    v->run = mmap(NULL, MODEL_RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    reset(v);
    return v->run == MAP_FAILED ? -1 : v->fd;
}

static int set_slot(struct model_vm *vm, const struct kvm_userspace_memory_region *r)
{
    if (r->slot >= MODEL_SLOTS)
        return refuse(EINVAL);
    pthread_mutex_lock(&vm->lock);
    vm->slot[r->slot] = *r;
    vm->slots = r->slot >= vm->slots ? r->slot + 1 : vm->slots;
    pthread_mutex_unlock(&vm->lock);
    return 0;
}

static int vm_call(struct model_vm *vm, unsigned long request, void *argument)
{
    switch (request) {
    case KVM_CHECK_EXTENSION:
        return capability((uintptr_t)argument);
    case KVM_SET_USER_MEMORY_REGION:
        return set_slot(vm, argument);
    case KVM_CREATE_VCPU:
        return create_vcpu(vm);
    case KVM_X86_SET_MSR_FILTER:
        vm->filter = *(struct kvm_msr_filter *)argument;
        return 0;
    case KVM_SET_IDENTITY_MAP_ADDR:
    case KVM_SET_TSS_ADDR:
    case KVM_ENABLE_CAP:
        return 0;
    default:
        return refuse(EINVAL);
    }
}

/* ---- the cpu ---- */

__u64 *model_msr(struct model_vcpu *v, uint32_t index)
{
    for (unsigned n = 0; n < v->msrs; n++)
        if (v->msr[n].index == index)
            return &v->msr[n].data;
    v->msr[v->msrs % MODEL_MSRS].index = index;
    return &v->msr[v->msrs++ % MODEL_MSRS].data;
}

static int transfer_msrs(struct model_vcpu *v, struct kvm_msrs *m, bool set)
{
    for (unsigned n = 0; n < m->nmsrs; n++)
        if (set)
            *model_msr(v, m->entries[n].index) = m->entries[n].data;
        else
            m->entries[n].data = *model_msr(v, m->entries[n].index);
    return (int)m->nmsrs;
}

static void get_regs(const struct model_vcpu *v, struct kvm_regs *regs)
{
    *regs = v->regs;
    regs->rflags = model_get_rflags(v);
}

static void set_regs(struct model_vcpu *v, const struct kvm_regs *regs)
{
    v->regs = *regs;
    model_set_rflags(v, regs->rflags);
}

/* TF of the guest's own is what there was before: api.rst does not tell, the kernel's source does.
 */
static void set_guest_debug(struct model_vcpu *v, const struct kvm_guest_debug *d)
{
    uint64_t rflags = model_get_rflags(v);

    v->debug = *d;
    if (!(d->control & KVM_GUESTDBG_ENABLE))
        v->debug.control = 0;
    v->step_from = model_linear_rip(v);
    model_set_rflags(v, rflags);
}

static bool kicked(void)
{
    sigset_t waiting;

    return sigpending(&waiting) == 0 && sigismember(&waiting, SIGRTMIN + KICK_OFFSET) == 1;
}

/* 0 or errno. */
static int run_guest(struct model_vcpu *v)
{
    bool left;

    pthread_mutex_lock(&v->vm->lock);
    left = model_complete(v);
    pthread_mutex_unlock(&v->vm->lock);
    if (!left && v->run->immediate_exit)
        return EINTR;
    while (!left) {
        if (kicked())
            return EINTR;
        for (unsigned n = 0; n < 64 && !left; n++) {
            pthread_mutex_lock(&v->vm->lock);
            left = model_step(v);
            pthread_mutex_unlock(&v->vm->lock);
        }
    }
    return 0;
}

/* The signal waits while the guest runs, and is handled on the way out. */
static int run(struct model_vcpu *v)
{
    struct kvm_run *r = v->run;
    sigset_t kick, old;

    if (v->entering)
        v->entering(v->opaque);
    sigemptyset(&kick);
    sigaddset(&kick, SIGRTMIN + KICK_OFFSET);
    pthread_sigmask(SIG_BLOCK, &kick, &old);
    if (r->kvm_dirty_regs & KVM_SYNC_X86_REGS)
        set_regs(v, &r->s.regs.regs);
    r->kvm_dirty_regs = 0;
    int error = run_guest(v);
    r->if_flag = v->regs.rflags >> 9 & 1;
    r->ready_for_interrupt_injection = r->if_flag && !v->interrupt;
    if (r->kvm_valid_regs & KVM_SYNC_X86_REGS)
        get_regs(v, &r->s.regs.regs);
    if (r->kvm_valid_regs & KVM_SYNC_X86_SREGS)
        r->s.regs.sregs = v->sregs;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error ? refuse(error) : 0;
}

/* What is only kept. False: nothing of that kind. */
static bool transfer(struct model_vcpu *v, unsigned long request, void *argument)
{
    const struct {
        unsigned long get, set;
        void *at;
        size_t size;
    } rows[] = {
        { KVM_GET_SREGS, KVM_SET_SREGS, &v->sregs, sizeof v->sregs },
        { KVM_GET_FPU, KVM_SET_FPU, &v->fpu, sizeof v->fpu },
        { KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, &v->debugregs, sizeof v->debugregs },
        { KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, &v->events, sizeof v->events },
    };

    for (unsigned n = 0; n < sizeof rows / sizeof *rows; n++)
        if (request == rows[n].get)
            return memcpy(argument, rows[n].at, rows[n].size);
        else if (request == rows[n].set)
            return memcpy(rows[n].at, argument, rows[n].size);
    return false;
}

static int vcpu_call(struct model_vcpu *v, unsigned long request, void *argument)
{
    struct kvm_translation *t = argument;

    switch (request) {
    case KVM_RUN:
        return run(v);
    case KVM_GET_REGS:
        return get_regs(v, argument), 0;
    case KVM_SET_REGS:
        return set_regs(v, argument), 0;
    case KVM_SET_GUEST_DEBUG:
        return set_guest_debug(v, argument), 0;
    case KVM_GET_MSRS:
    case KVM_SET_MSRS:
        return transfer_msrs(v, argument, request == KVM_SET_MSRS);
    case KVM_INTERRUPT:
        v->interrupt = (uint8_t)((struct kvm_interrupt *)argument)->irq;
        return 0;
    case KVM_TRANSLATE:
        t->physical_address = t->linear_address;
        t->valid = 1;
        return 0;
    case KVM_GET_TSC_KHZ:
        return 1000000;
    case KVM_SET_CPUID2:
        return 0;
    default:
        return transfer(v, request, argument) ? 0 : refuse(EINVAL);
    }
}

/* ---- in place of the C library's ---- */

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list ap;

    va_start(ap, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(ap, mode_t);
    va_end(ap);
    if (!strcmp(path, "/dev/kvm"))
        return add("model-kvm", DEVICE, NULL);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int ioctl(int fd, unsigned long request, ...)
{
    void *argument;
    va_list ap;

    va_start(ap, request);
    argument = va_arg(ap, void *);
    va_end(ap);
    if (_IOC_TYPE(request) == KVMIO && fd >= 0 && fd < FDS)
        switch (table[fd].kind) {
        case DEVICE:
            return device_call(request, argument);
        case VM:
            return vm_call(table[fd].object, request, argument);
        case VCPU:
            return vcpu_call(table[fd].object, request, argument);
        case NOBODY:
            break;
        }
    return (int)syscall(SYS_ioctl, fd, request, argument);
}
