/* Linux's bzImage: Documentation/x86/boot.rst of Linux 6.1, "64-bit Boot Protocol".
 *
 *     sector 0 .. setup_sects   real-mode code with the setup header: only the header is used
 *     the rest                  protected-mode code: the unpacker, with the packed vmlinux in it
 *
 * The unpacker would decompress an ELF file, copy its segments to their physical addresses and jump
 * to the ELF entry with %rsi at the boot parameters. Doing that here instead spares the guest
 * billions of instructions. The kernel then runs at the address it is linked for, so the
 * relocations that follow the ELF file are not needed. */
#include "boot/boot_internal.h"
#include "boot/linux_params.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* As much of the unpacked kernel as is looked at for headers. */
enum { BZIMAGE_PREFIX = 4096 };

struct bzimage {
    const uint8_t *header; /* the file from LINUX_SETUP_HEADER */
    size_t header_size;
    const uint8_t *body; /* the protected-mode part */
    size_t body_size;
    const uint8_t *payload;
    size_t payload_size; /* with the 4 bytes at its end that tell the unpacked size */
    uint64_t pref_address;
    uint32_t init_size, initrd_max;
};

bool bzimage_detect(const struct image *image)
{
    return image->size >= LINUX_HEADER_MAGIC + 4 &&
           memcmp(image->data + LINUX_HEADER_MAGIC, "HdrS", 4) == 0 &&
           ld_le16(image->data + LINUX_BOOT_FLAG) == LINUX_BOOT_FLAG_VALUE;
}

static bool parse_body(struct bzimage *z, const struct image *image, struct error *err)
{
    const uint8_t *d = image->data;
    unsigned sectors = d[LINUX_SETUP_SECTS] ? d[LINUX_SETUP_SECTS] : 4;
    size_t setup = (sectors + 1) * LINUX_SECTOR;
    if (setup >= image->size)
        return error_set(err, "cut short: %zu bytes, the setup code alone has %zu", image->size,
                         setup);
    z->body = d + setup;
    z->body_size = image->size - setup;
    uint64_t offset = ld_le32(d + LINUX_PAYLOAD_OFFSET), length = ld_le32(d + LINUX_PAYLOAD_LENGTH);
    if (offset + length > z->body_size)
        return error_set(err, "cut short: the payload ends at byte 0x%llx of a file of 0x%zx",
                         (unsigned long long)(setup + offset + length), image->size);
    if (length < 8)
        return error_set(err, "the setup header names no payload");
    z->payload = z->body + offset;
    z->payload_size = length;
    return true;
}

static bool parse(struct bzimage *z, struct boot_load *b, struct error *err)
{
    const struct image *image = &b->kernel;
    const uint8_t *d = image->data;
    if (!bzimage_detect(image))
        return error_set(err, "not a bzImage (no HdrS magic)");
    if (image->size < LINUX_HEADER_LAST)
        return error_set(err, "cut short in the setup header: %zu bytes", image->size);
    b->report.protocol = ld_le16(d + LINUX_VERSION);
    if (b->report.protocol < LINUX_PROTOCOL_LEAST)
        return error_set(err, "boot protocol %u.%02u; 2.12 or later is needed",
                         b->report.protocol >> 8, b->report.protocol & 0xff);
    if (!(ld_le16(d + LINUX_XLOADFLAGS) & LINUX_XLF_KERNEL_64))
        return error_set(err, "not a 64-bit kernel (no 64-bit entry); use an amd64 one");
    size_t end = LINUX_HEADER_MAGIC + d[LINUX_JUMP_OFFSET];
    if (end < LINUX_HEADER_LAST)
        end = LINUX_HEADER_LAST;
    if (end > LINUX_HEADER_MAX)
        end = LINUX_HEADER_MAX;
    if (end > image->size)
        return error_set(err, "cut short in the setup header: %zu of %zu bytes", image->size, end);
    z->header = d + LINUX_SETUP_HEADER;
    z->header_size = end - LINUX_SETUP_HEADER;
    z->pref_address = ld_le64(d + LINUX_PREF_ADDRESS);
    z->init_size = ld_le32(d + LINUX_INIT_SIZE);
    z->initrd_max = ld_le32(d + LINUX_INITRD_ADDR_MAX);
    return parse_body(z, image, err);
}

/* The packed ELF file: its headers are read first, so that the rest can go straight into place. */
static bool unpack_elf(struct boot_load *b, struct unpack *u, uint64_t total, struct error *err)
{
    uint8_t prefix[BZIMAGE_PREFIX];
    size_t prefix_size = total < sizeof prefix ? total : sizeof prefix;
    if (!unpack_read(u, prefix, prefix_size, err) ||
        !elf_image_parse(&b->elf, prefix, prefix_size, total, err))
        return false;
    if (!b->elf.is64 || b->elf.entry > UINT32_MAX)
        return error_set(err, "the packed kernel is not a 64-bit ELF file with a physical entry");
    return boot_claim_elf(b, err) &&
           elf_image_load_stream(&b->elf, &b->layout, prefix, prefix_size, total, u, err);
}

static bool load_unpacked(struct boot_load *b, const struct bzimage *z, struct error *err)
{
    uint64_t start = boot_now_ns();
    uint64_t total = ld_le32(z->payload + z->payload_size - 4);
    /* gzip's own trailer ends with the size; the other formats have it appended. */
    bool own = strcmp(b->report.payload, "gzip") == 0;
    struct unpack *u = unpack_open(z->payload, z->payload_size - (own ? 0 : 4), err);
    bool ok = u && unpack_elf(b, u, total, err);
    unpack_close(u);
    if (!ok) {
        error_prefix(err, "packed kernel: ");
        return false;
    }
    b->report.unpacked = true;
    b->report.unpacked_size = total;
    b->report.payload_ns = boot_now_ns() - start;
    return true;
}

/* The unpacker needs init_size bytes at the preferred address, where it also is when it starts. */
static bool load_packed(struct boot_load *b, const struct bzimage *z, struct error *err)
{
    uint64_t size = z->init_size > z->body_size ? z->init_size : z->body_size;
    if (z->pref_address + size > UINT32_MAX || z->pref_address + size < size)
        return error_set(err, "the kernel wants to be at 0x%llx, beyond 4 GiB",
                         (unsigned long long)z->pref_address);
    b->report.kernel_start = z->pref_address;
    b->report.kernel_end = z->pref_address + size;
    return layout_claim(&b->layout, z->pref_address, size, "the kernel", err) &&
           layout_write(&b->layout, z->pref_address, z->body, z->body_size, err);
}

static bool host_unpacks(struct boot_load *b, const struct bzimage *z, bool *yes, struct error *err)
{
    enum boot_decompress mode = b->config->decompress;
    bool known = unpack_is_supported(z->payload, z->payload_size);
    b->report.payload = unpack_format_name(z->payload, z->payload_size);
    *yes = known && mode != BOOT_DECOMPRESS_GUEST;
    if (known || mode == BOOT_DECOMPRESS_GUEST)
        return true;
    if (mode == BOOT_DECOMPRESS_HOST)
        return error_set(err, "packed as %s, which the host cannot unpack: use decompress=guest",
                         b->report.payload);
    log_host(LOG_WARN, "boot", "%s: packed as %s: the guest has to unpack it itself",
             b->kernel.path, b->report.payload);
    return true;
}

bool bzimage_load(struct boot_load *b, struct error *err)
{
    struct bzimage z = { 0 };
    bool host;
    if (!parse(&z, b, err) || !host_unpacks(b, &z, &host, err) ||
        !(host ? load_unpacked(b, &z, err) : load_packed(b, &z, err)))
        return false;
    uint64_t entry = host ? b->elf.entry : z.pref_address + LINUX_ENTRY_64;
    if (!boot_place_initrd(b, z.initrd_max, err) ||
        !linux_params_build(b, z.header, z.header_size, b->report.kernel_start, err) ||
        !boot_enter_long64(b, entry, err))
        return false;
    b->entry.rsi = b->report.params_addr;
    return true;
}
