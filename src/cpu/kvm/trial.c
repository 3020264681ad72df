/* A machine of a few pages with one vcpu, beside the user's: see trial.h. A timer gets out what
 * hangs: its signal comes again and again, because the first may fall before the guest is entered.
 */
#define _GNU_SOURCE /* SIGEV_THREAD_ID */
#include "cpu/kvm/trial.h"

#include "base/bits.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { TABLES = 0x1000 }; /* three pages: PML4, PDPT, PD */

static void *map(int fd, size_t size)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

bool trial_begin(struct trial *t, const struct accel *a, const void *code, size_t size)
{
    struct kvm_userspace_memory_region memory = { .memory_size = TRIAL_SIZE };
    struct kvm_regs regs = { .rip = TRIAL_CODE, .rflags = 2 };
    struct kvm_sregs s;

    kvm_prepare_kicks();
    *t = (struct trial){ .accel = a, .fd = -1, .run_size = a->run_size };
    t->vm_fd = kvm_ioctl(a->kvm_fd, KVM_CREATE_VM, NULL);
    t->memory = map(-1, TRIAL_SIZE);
    if (t->vm_fd < 0 || !t->memory)
        return false;
    ioctl(t->vm_fd, KVM_SET_TSS_ADDR, 0xfeffd000ul);
    memory.userspace_addr = (uintptr_t)t->memory;
    memcpy(t->memory + TRIAL_CODE, code, size);
    if (kvm_ioctl(t->vm_fd, KVM_SET_USER_MEMORY_REGION, &memory) < 0 ||
        (t->fd = ioctl(t->vm_fd, KVM_CREATE_VCPU, 0)) < 0 || !(t->run = map(t->fd, t->run_size)) ||
        kvm_ioctl(t->fd, KVM_GET_SREGS, &s) < 0)
        return false;
    s.cs.base = s.cs.selector = 0;
    return kvm_ioctl(t->fd, KVM_SET_SREGS, &s) == 0 && kvm_ioctl(t->fd, KVM_SET_REGS, &regs) == 0;
}

void trial_end(struct trial *t)
{
    if (t->run)
        munmap(t->run, t->run_size);
    if (t->fd >= 0)
        close(t->fd);
    if (t->vm_fd >= 0)
        close(t->vm_fd);
    if (t->memory)
        munmap(t->memory, TRIAL_SIZE);
}

bool trial_enter_long_mode(const struct trial *t)
{
    enum { PRESENT = 1, WRITE = 2, LARGE = 1 << 7 };
    const uint64_t cr0_pe_pg = 1ULL << 31 | 1, cr4_pae = 1 << 5, efer_lme_lma = 1 << 8 | 1 << 10;
    struct kvm_sregs s;

    st_le(t->memory + TABLES, 8, (TABLES + 0x1000) | PRESENT | WRITE);
    st_le(t->memory + TABLES + 0x1000, 8, (TABLES + 0x2000) | PRESENT | WRITE);
    st_le(t->memory + TABLES + 0x2000, 8, PRESENT | WRITE | LARGE);
    if (t->accel->cpuid && kvm_ioctl(t->fd, KVM_SET_CPUID2, t->accel->cpuid) < 0)
        return false;
    if (kvm_ioctl(t->fd, KVM_GET_SREGS, &s) < 0)
        return false;
    s.cr0 |= cr0_pe_pg;
    s.cr3 = TABLES;
    s.cr4 |= cr4_pae;
    s.efer |= efer_lme_lma;
    s.cs = (struct kvm_segment){
        .limit = UINT32_MAX, .selector = 8, .type = 0xb, .present = 1, .s = 1, .l = 1, .g = 1
    };
    return kvm_ioctl(t->fd, KVM_SET_SREGS, &s) == 0;
}

static int64_t cpu_time_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* What ioctl() returns, when the guest has exited or the time is up. */
static int run_limited(const struct trial *t, int ms)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = kvm_kick_signal() };
    struct itimerspec patience = { .it_value.tv_nsec = ms * 1000000L,
                                   .it_interval.tv_nsec = 1000000 };
    sigset_t kick, old;
    timer_t timer;

    event._sigev_un._tid = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
        return -1;
    sigemptyset(&kick);
    sigaddset(&kick, kvm_kick_signal());
    pthread_sigmask(SIG_UNBLOCK, &kick, &old);
    timer_settime(timer, 0, &patience, NULL);
    int r = ioctl(t->fd, KVM_RUN, 0);
    timer_delete(timer);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r;
}

bool trial_run(const struct trial *t, uint32_t exit_reason)
{
    return run_limited(t, TRIAL_PATIENCE_MS) == 0 && t->run->exit_reason == exit_reason;
}

int64_t trial_run_for(const struct trial *t, int ms)
{
    int64_t before = cpu_time_ns();

    run_limited(t, ms);
    return cpu_time_ns() - before;
}
