/* A /dev/kvm that behaves as no host here does, put before the C library (LD_PRELOAD): for tests of
 * what is said of such hosts. The environment variable FAKE_KVM holds words KEY=VALUE, separated by
 * spaces:
 *
 *     open=ERRNO      the device does not open
 *     version=N       of the interface
 *     cap.N=VALUE     KVM_CHECK_EXTENSION says so of capability N
 *     fail.N=ERRNO    ioctl number N (the low byte of its request) fails
 *     hang=1          KVM_RUN does not come back before a signal
 *     rax=N           KVM_GET_REGS says so
 *     exit=N          KVM_RUN comes back at once with this exit reason
 *     what=N          and this, 64 bits wide, as the first that belongs to the reason
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* The value of a key in FAKE_KVM. */
static bool fake(const char *key, unsigned long long *value)
{
    const char *at = getenv("FAKE_KVM");
    size_t length = strlen(key);

    for (; at && *at; at += strcspn(at, " "), at += *at == ' ') {
        if (!strncmp(at, key, length) && at[length] == '=') {
            *value = strtoull(at + length + 1, NULL, 0);
            return true;
        }
    }
    return false;
}

static bool fake_number(const char *prefix, unsigned long number, unsigned long long *value)
{
    char key[32];

    snprintf(key, sizeof key, "%s.%lu", prefix, number);
    return fake(key, value);
}

/* KVM_RUN without a guest: a vcpu's descriptor is the memory that it shares. */
static int fake_exit(int fd, uint32_t reason)
{
    struct kvm_run *run = mmap(NULL, sizeof *run, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    unsigned long long what = 0;

    if (run == MAP_FAILED)
        return -1;
    if (run->immediate_exit) {
        munmap(run, sizeof *run);
        errno = EINTR;
        return -1;
    }
    fake("what", &what);
    run->exit_reason = reason;
    memcpy(run->padding, &what, sizeof what);
    munmap(run, sizeof *run);
    return 0;
}

int open(const char *path, int flags, ...)
{
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    unsigned long long error;
    mode_t mode = 0;
    va_list ap;

    if (!strcmp(path, "/dev/kvm") && fake("open", &error)) {
        errno = (int)error;
        return -1;
    }
    va_start(ap, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(ap, mode_t);
    va_end(ap);
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode = 0;

    va_start(ap, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(ap, mode_t);
    va_end(ap);
    return open(path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...)
{
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    unsigned long long value;
    void *argument;
    va_list ap;

    va_start(ap, request);
    argument = va_arg(ap, void *);
    va_end(ap);
    if (_IOC_TYPE(request) != KVMIO)
        return real(fd, request, argument);
    if (request == KVM_GET_API_VERSION && fake("version", &value))
        return (int)value;
    if (request == KVM_CHECK_EXTENSION &&
        fake_number("cap", (unsigned long)(uintptr_t)argument, &value))
        return (int)value;
    if (request == KVM_RUN && fake("hang", &value))
        return pause();
    if (request == KVM_RUN && fake("exit", &value))
        return fake_exit(fd, (uint32_t)value);
    if (fake_number("fail", _IOC_NR(request), &value)) {
        errno = (int)value;
        return -1;
    }
    int r = real(fd, request, argument);
    if (r == 0 && request == KVM_GET_REGS && fake("rax", &value))
        ((struct kvm_regs *)argument)->rax = value;
    return r;
}
