/* The KVM backend: opening /dev/kvm, and the table that the rest of the program sees.
 *
 * Every refusal names its remedy, because a missing or closed /dev/kvm is what most people meet
 * first. */
#include "cpu/kvm/debug.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define KVM_PATH "/dev/kvm"

int kvm_ioctl(int fd, unsigned long request, void *argument)
{
    int r;

    do
        r = ioctl(fd, request, argument);
    while (r < 0 && errno == EINTR);
    return r;
}

int kvm_vcpu_ioctl(struct kvm_vcpu *v, unsigned long request, void *argument)
{
    v->stats.host_calls++;
    return kvm_ioctl(v->fd, request, argument);
}

/* What errno says of opening it, and what can be done; NULL: nothing that would be known. */
static const char *remedy_of(int error)
{
    if (error == ENOENT || error == ENODEV || error == ENXIO)
        return "kvm: " KVM_PATH " is missing: load the module (modprobe kvm_intel or kvm_amd; "
               "virtualisation must be enabled in the firmware), or use --accel soft";
    if (error == EACCES || error == EPERM)
        return "kvm: no permission for " KVM_PATH
               ": join its group (usermod -aG kvm USER, then log "
               "in again), or use --accel soft";
    if (error == EBUSY)
        return "kvm: " KVM_PATH " is in use by another hypervisor: end that, or use --accel soft";
    return NULL;
}

int kvm_open_device(struct error *err)
{
    int version, fd = open(KVM_PATH, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        const char *remedy = remedy_of(errno);
        if (remedy)
            error_set_host(err, 0, "%s", remedy);
        else
            error_set_host(err, errno, "kvm: use --accel soft: cannot open " KVM_PATH);
        return -1;
    }
    version = kvm_ioctl(fd, KVM_GET_API_VERSION, NULL);
    if (version == KVM_API_VERSION)
        return fd;
    error_set_host(err, 0,
                   "kvm: " KVM_PATH " speaks version %d of its interface, not %d: use another "
                   "kernel, or --accel soft",
                   version, KVM_API_VERSION);
    close(fd);
    return -1;
}

static bool open_device(struct accel *a, struct error *err)
{
    a->kvm_fd = kvm_open_device(err);
    return a->kvm_fd >= 0;
}

bool kvm_check_capabilities(int kvm_fd, struct error *err)
{
    static const struct {
        long number;
        const char *name;
    } needed[] = {
        { KVM_CAP_USER_MEMORY, "user memory" },
        { KVM_CAP_READONLY_MEM, "read-only memory slots" },
        { KVM_CAP_IMMEDIATE_EXIT, "immediate exit" },
        { KVM_CAP_EXT_CPUID, "extended CPUID" },
        { KVM_CAP_SET_TSS_ADDR, "a place for the task state segment" },
    };

    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
            return error_set_host(err, 0,
                                  "kvm: this kernel's " KVM_PATH " lacks %s: use a newer kernel, "
                                  "or --accel soft",
                                  needed[i].name);
    return true;
}

static unsigned capability(const struct accel *a, long which)
{
    int n = ioctl(a->vm_fd, KVM_CHECK_EXTENSION, which);

    return n < 0 ? 0 : (unsigned)n;
}

/* api.rst, KVM_CREATE_VCPU: kernels that do not say take as many as they recommend, or four. */
static unsigned most_vcpus(const struct accel *a)
{
    unsigned max = capability(a, KVM_CAP_MAX_VCPUS);
    unsigned recommended = capability(a, KVM_CAP_NR_VCPUS);

    return max ? max : recommended ? recommended : 4;
}

/* Intel hosts without unrestricted guests need three pages for real mode, and one for its page
 * table, out of the guest's sight: below the firmware's 4 GiB end, where no PC has memory. */
bool kvm_create_vm(struct accel *a, struct error *err)
{
    const unsigned long tss_address = 0xfeffd000;
    uint64_t identity_map = 0xfeffc000;
    int size;

    a->vm_fd = kvm_ioctl(a->kvm_fd, KVM_CREATE_VM, NULL);
    if (a->vm_fd < 0)
        return error_set_host(err, errno,
                              "kvm: cannot create a virtual machine; is another "
                              "hypervisor using the processor? --accel soft needs none");
    size = kvm_ioctl(a->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    if (size < (int)sizeof(struct kvm_run))
        return error_set_host(err, 0,
                              "kvm: this kernel's vcpu area is too small (%d bytes): use another "
                              "kernel, or --accel soft",
                              size);
    a->run_size = size;
    a->vcpus_max = most_vcpus(a);
    a->sync_regs = capability(a, KVM_CAP_SYNC_REGS);
    if (kvm_ioctl(a->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 ||
        ioctl(a->vm_fd, KVM_SET_TSS_ADDR, tss_address) < 0)
        return error_set_host(err, errno, "kvm: cannot set the task state segment aside");
    return true;
}

static void accel_close(struct accel *a)
{
    if (!a)
        return;
    kvm_memslots_fini(a);
    kvm_chips_free(a->chips);
    if (a->vm_fd >= 0)
        close(a->vm_fd);
    if (a->kvm_fd >= 0)
        close(a->kvm_fd);
    free(a->cpuid);
    free(a);
}

static struct accel *accel_open(struct machine *m, struct error *err)
{
    struct accel *a = ALLOC(struct accel);

    a->machine = m;
    a->kvm_fd = a->vm_fd = -1;
    if (open_device(a, err) && kvm_check_capabilities(a->kvm_fd, err) && kvm_create_vm(a, err) &&
        kvm_chips_create(a, err) && kvm_cpuid_load(a, err) && kvm_memslots_init(a, err)) {
        kvm_time_init(a);
        return a;
    }
    accel_close(a);
    return NULL;
}

/* KVM tells nothing of instructions: limits do not apply. */
static void set_limit(struct vcpu *v, uint64_t limit)
{
}

static uint64_t instructions(struct vcpu *v)
{
    return 0;
}

static void get_stats(struct vcpu *v, struct vcpu_stats *stats)
{
    *stats = kvm_vcpu_of(v)->stats;
}

const struct vcpu_backend vcpu_kvm = {
    .name = "kvm",
    .has_irqchips = true,
    .open = accel_open,
    .close = accel_close,
    .stop_time = kvm_time_stop,
    .start_time = kvm_time_start,
    .cpu_offer = kvm_cpu_offer,
    .survey = kvm_survey,
    .vcpu_new = kvm_vcpu_new,
    .vcpu_free = kvm_vcpu_free,
    .run = kvm_vcpu_run,
    .kick = kvm_vcpu_kick,
    .set_limit = set_limit,
    .instructions = instructions,
    .reset = kvm_vcpu_reset,
    .get_regs = kvm_vcpu_get_regs,
    .set_regs = kvm_vcpu_set_regs,
    .get_reg = kvm_vcpu_get_reg,
    .get_sregs = kvm_vcpu_get_sregs,
    .set_sregs = kvm_vcpu_set_sregs,
    .get_fpu = kvm_vcpu_get_fpu,
    .set_fpu = kvm_vcpu_set_fpu,
    .get_msr = kvm_vcpu_get_msr,
    .set_msr = kvm_vcpu_set_msr,
    .msrs = kvm_vcpu_msrs,
    .get_misc = kvm_vcpu_get_misc,
    .set_misc = kvm_vcpu_set_misc,
    .get_lapic = kvm_vcpu_get_lapic,
    .set_lapic = kvm_vcpu_set_lapic,
    .get_kvmclock = kvm_vcpu_get_clock,
    .set_kvmclock = kvm_vcpu_set_clock,
    .translate = kvm_vcpu_translate,
    .get_stats = get_stats,
    .inject = kvm_vcpu_inject,
    .machine_check = kvm_vcpu_machine_check,
    .supports = kvm_debug_supports,
    .fits_always = kvm_debug_fits_always,
    .fits = kvm_debug_fits,
    .means = kvm_debug_means,
    .watch = kvm_debug_watch,
    .step = kvm_debug_step,
    .can_step = kvm_debug_can_step,
};
