/* Guest memory through a vcpu's page tables and the machine's memory. */
#include "debug/guest_memory.h"

#include "cpu/vcpu.h"
#include "mem/address_space.h"

#include <string.h>

enum { PAGE = 4096 };

/* Memory that can be read without asking a device. */
static bool read_direct(struct address_space *as, uint64_t gpa, uint8_t *out, uint64_t len)
{
    while (len) {
        uint64_t n = len, ram_addr;
        const void *host = address_space_ptr(as, gpa, &n, false, &ram_addr);
        if (!host || n == 0)
            return false;
        memcpy(out, host, n);
        gpa += n;
        out += n;
        len -= n;
    }
    return true;
}

static bool read_vcpu(void *opaque, uint64_t gva, void *buf, size_t len)
{
    struct vcpu *v = opaque;
    uint8_t *out = buf;
    while (len) {
        size_t n = PAGE - gva % PAGE;
        uint64_t gpa;
        if (n > len)
            n = len;
        if (!v->backend->translate(v, gva, &gpa))
            return false;
        if (!read_direct(v->memory, gpa, out, n))
            return false;
        gva += n;
        out += n;
        len -= n;
    }
    return true;
}

struct guest_memory guest_memory_of_vcpu(struct vcpu *vcpu)
{
    return (struct guest_memory){ .read = read_vcpu, .opaque = vcpu };
}
