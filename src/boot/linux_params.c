/* Linux's boot parameters, the "zero page": Documentation/x86/boot.rst and zero-page.rst of
 * Linux 6.1. */
#include "boot/boot_internal.h"
#include "boot/linux_params.h"

#include <string.h>

enum { PARAMS_SIZE = 4096 };

struct setup_seed {
    uint64_t next;
    uint32_t type, len;
    uint8_t data[BOOT_SEED_SIZE];
};

static bool put_seed(struct boot_load *b, uint8_t *params, struct error *err)
{
    if (!b->config->seed)
        return true;
    struct setup_seed s = { .type = LINUX_SETUP_RNG_SEED, .len = BOOT_SEED_SIZE };
    memcpy(s.data, b->config->seed, BOOT_SEED_SIZE);
    uint64_t addr;
    if (!layout_place_small(&b->layout, sizeof s, "the random seed", &addr, err) ||
        !layout_write(&b->layout, addr, &s, sizeof s, err))
        return false;
    st_le64(params + LINUX_SETUP_DATA, addr);
    return true;
}

/* A kernel that is told less of its command line than the user wrote would fail in odd ways: an
 * error. */
static bool put_cmdline(struct boot_load *b, uint8_t *params, struct error *err)
{
    const char *cmdline = boot_cmdline(b);
    size_t length = strlen(cmdline), max = ld_le32(params + LINUX_CMDLINE_SIZE);
    if (length > max)
        return error_set(err, "the kernel command line has %zu characters; this kernel takes %zu",
                         length, max);
    if (!layout_put_string(&b->layout, cmdline, "the command line", &b->report.cmdline_addr, err))
        return false;
    st_le32(params + LINUX_CMD_LINE_PTR, b->report.cmdline_addr);
    return true;
}

static bool put_e820(struct boot_load *b, uint8_t *params, struct error *err)
{
    const struct layout *l = &b->layout;
    if (l->map_count > LINUX_E820_MAX)
        return error_set(err, "memory map: %zu entries, Linux takes %d", l->map_count,
                         LINUX_E820_MAX);
    for (size_t i = 0; i < l->map_count; i++) {
        uint8_t *e = params + LINUX_E820_TABLE + i * LINUX_E820_ENTRY_SIZE;
        st_le64(e, l->map[i].addr);
        st_le64(e + 8, l->map[i].size);
        st_le32(e + 16, l->map[i].type);
    }
    params[LINUX_E820_ENTRIES] = l->map_count;
    return true;
}

bool linux_params_build(struct boot_load *b, const uint8_t *setup, size_t setup_size,
                        uint32_t code32_start, struct error *err)
{
    uint8_t params[PARAMS_SIZE] = { 0 };
    memcpy(params + LINUX_SETUP_HEADER, setup, setup_size);
    uint64_t addr;
    if (!layout_place_small(&b->layout, sizeof params, "the boot parameters", &addr, err))
        return false;
    b->report.params_addr = addr;

    params[LINUX_TYPE_OF_LOADER] = LINUX_LOADER_UNDEFINED;
    params[LINUX_LOADFLAGS] |= LINUX_LOADED_HIGH;
    st_le16(params + LINUX_VID_MODE, LINUX_VID_MODE_NORMAL);
    st_le32(params + LINUX_CODE32_START, code32_start);
    st_le32(params + LINUX_RAMDISK_IMAGE, b->report.initrd_addr);
    st_le32(params + LINUX_RAMDISK_SIZE, b->report.initrd_size);
    st_le64(params + LINUX_ACPI_RSDP_ADDR, b->config->rsdp);
    return put_cmdline(b, params, err) && put_e820(b, params, err) && put_seed(b, params, err) &&
           layout_write(&b->layout, addr, params, sizeof params, err);
}
