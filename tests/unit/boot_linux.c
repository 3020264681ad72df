/* The bzImage loader: on kernels packed by the test in each format, cut and damaged, and on
 * Debian's own kernel where scripts/fetch-guest has put it. */
#include "boot_fixture.h"

#include "boot/linux_params.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

enum { SETUP = 3 * LINUX_SECTOR, LINK = 16 << 20, FILE_MAX = 64 * 1024 };

static const struct test_segment kernel_segments[] = { { LINK, 9000, 9000 },
                                                       { LINK + 0x10000, 10000, 30000 } };

typedef size_t pack_fn(const uint8_t *in, size_t size, uint8_t *out);

static size_t pack_xz(const uint8_t *in, size_t size, uint8_t *out)
{
    lzma_options_lzma lzma;
    lzma_lzma_preset(&lzma, 1);
    lzma_filter chain[] = { { LZMA_FILTER_X86, NULL },
                            { LZMA_FILTER_LZMA2, &lzma },
                            { LZMA_VLI_UNKNOWN, NULL } };
    size_t at = 0;
    assert_int_equal(
        lzma_stream_buffer_encode(chain, LZMA_CHECK_CRC32, NULL, in, size, out, &at, FILE_MAX),
        LZMA_OK);
    st_le32(out + at, size);
    return at + 4;
}

static size_t pack_zstd(const uint8_t *in, size_t size, uint8_t *out)
{
    size_t at = ZSTD_compress(out, FILE_MAX, in, size, 3);
    assert_false(ZSTD_isError(at));
    st_le32(out + at, size);
    return at + 4;
}

static size_t pack_gzip(const uint8_t *in, size_t size, uint8_t *out)
{
    z_stream s = {
        .next_in = (uint8_t *)in, .avail_in = size, .next_out = out, .avail_out = FILE_MAX
    };
    assert_int_equal(deflateInit2(&s, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
    size_t at = s.total_out;
    deflateEnd(&s);
    return at;
}

static size_t pack_lz4(const uint8_t *in, size_t size, uint8_t *out)
{
    st_le32(out, 0x184c2102);
    st_le32(out + 4, size);
    return 8;
}

static pack_fn *const packers[] = { pack_xz, pack_zstd, pack_gzip };

/* The setup header, a little "unpacker" of 0x300 bytes 0xaa, the payload. */
static size_t bzimage_build(uint8_t *file, pack_fn *pack)
{
    uint8_t elf[FILE_MAX];
    size_t elf_size = elf64_build(elf, LINK + 0x40, kernel_segments, 2);
    memset(file, 0, SETUP);
    memset(file + SETUP, 0xaa, 0x300);
    size_t packed = pack(elf, elf_size, file + SETUP + 0x300);
    file[LINUX_SETUP_SECTS] = SETUP / LINUX_SECTOR - 1;
    st_le16(file + LINUX_BOOT_FLAG, LINUX_BOOT_FLAG_VALUE);
    file[0x200] = 0xeb;
    file[LINUX_JUMP_OFFSET] = 0x6a;
    memcpy(file + LINUX_HEADER_MAGIC, "HdrS", 4);
    st_le16(file + LINUX_VERSION, 0x020f);
    file[LINUX_LOADFLAGS] = LINUX_LOADED_HIGH;
    st_le32(file + LINUX_INITRD_ADDR_MAX, 0x7fffffff);
    st_le16(file + LINUX_XLOADFLAGS, LINUX_XLF_KERNEL_64);
    st_le32(file + LINUX_CMDLINE_SIZE, 100);
    st_le32(file + LINUX_PAYLOAD_OFFSET, 0x300);
    st_le32(file + LINUX_PAYLOAD_LENGTH, packed);
    st_le64(file + LINUX_PREF_ADDRESS, LINK);
    st_le32(file + LINUX_INIT_SIZE, 0x40000);
    return SETUP + 0x300 + packed;
}

static void check_kernel(const struct rig *r)
{
    assert_int_equal(r->report.format, BOOT_FORMAT_BZIMAGE);
    assert_int_equal(r->report.protocol, 0x020f);
    assert_true(r->report.unpacked);
    assert_int_equal(r->entry.mode, BOOT_LONG64);
    assert_int_equal(r->entry.rip, LINK + 0x40);
    assert_bytes(r, LINK, 0x11, 9000);
    assert_bytes(r, LINK + 9000, 0x5a, 100);
    assert_bytes(r, LINK + 0x10000, 0x22, 10000);
    assert_bytes(r, LINK + 0x10000 + 10000, 0, 20000);
}

static void test_params(void **state)
{
    struct rig r;
    uint8_t file[FILE_MAX], seed[BOOT_SEED_SIZE], initrd[5000];
    rig_init(&r, 64 * MIB);
    static const struct boot_e820 map[] = { { 0, 0x9fc00, 1 },
                                            { MIB, 62 * MIB, 1 },
                                            { 63 * MIB, MIB, 3 } };
    for (unsigned i = 0; i < sizeof seed; i++)
        seed[i] = i;
    memset(initrd, 0x99, sizeof initrd);
    write_file(r.initrd, initrd, sizeof initrd);
    r.config.e820 = map;
    r.config.e820_count = 3;
    r.config.cmdline = "console=ttyS0 quiet";
    r.config.seed = seed;
    r.config.initrd = r.initrd;
    r.config.rsdp = 0x3f00000;
    for (size_t i = 0; i < ARRAY_LEN(packers); i++) {
        memset(r.ram.host, 0x5a, 64 * MIB);
        assert_true(rig_load(&r, file, bzimage_build(file, packers[i])));
        check_kernel(&r);
        const uint8_t *ram = r.ram.host, *p = ram + r.entry.rsi;
        assert_int_equal(r.entry.rsi, r.report.params_addr);
        assert_memory_equal(p + LINUX_HEADER_MAGIC, "HdrS", 4);
        assert_int_equal(p[LINUX_TYPE_OF_LOADER], 0xff);
        assert_int_equal(p[LINUX_LOADFLAGS], LINUX_LOADED_HIGH);
        assert_string_equal(ram + ld_le32(p + LINUX_CMD_LINE_PTR), "console=ttyS0 quiet");
        uint32_t at = ld_le32(p + LINUX_RAMDISK_IMAGE);
        assert_int_equal(at, align_down(63 * MIB - sizeof initrd, 4096));
        assert_int_equal(ld_le32(p + LINUX_RAMDISK_SIZE), sizeof initrd);
        assert_bytes(&r, at, 0x99, sizeof initrd);
        assert_int_equal(ld_le64(p + LINUX_ACPI_RSDP_ADDR), 0x3f00000);
        assert_int_equal(p[LINUX_E820_ENTRIES], 3);
        assert_int_equal(ld_le64(p + LINUX_E820_TABLE + 20), MIB);
        assert_int_equal(ld_le64(p + LINUX_E820_TABLE + 28), 62 * MIB);
        assert_int_equal(ld_le32(p + LINUX_E820_TABLE + 56), 3);
        const uint8_t *data = ram + ld_le64(p + LINUX_SETUP_DATA);
        assert_int_equal(ld_le64(data), 0);
        assert_int_equal(ld_le32(data + 8), LINUX_SETUP_RNG_SEED);
        assert_int_equal(ld_le32(data + 12), BOOT_SEED_SIZE);
        assert_memory_equal(data + 16, seed, BOOT_SEED_SIZE);
    }
    rig_fini(&r);
}

/* Nothing asked for: no initrd, no seed, and the old contents of the fields are gone. */
static void test_params_empty(void **state)
{
    struct rig r;
    uint8_t file[FILE_MAX];
    rig_init(&r, 64 * MIB);
    size_t size = bzimage_build(file, pack_gzip);
    assert_true(rig_load(&r, file, size));
    const uint8_t *p = r.ram.host + r.entry.rsi;
    assert_int_equal(ld_le32(p + LINUX_RAMDISK_SIZE), 0);
    assert_int_equal(ld_le64(p + LINUX_SETUP_DATA), 0);
    assert_string_equal(r.ram.host + ld_le32(p + LINUX_CMD_LINE_PTR), "");
    assert_int_equal(p[LINUX_E820_ENTRIES], 1); /* from the address space */
    assert_int_equal(ld_le64(p + LINUX_E820_TABLE + 8), 64 * MIB);
    rig_fini(&r);
}

static void test_truncated(void **state)
{
    struct rig r;
    uint8_t file[FILE_MAX];
    rig_init(&r, 64 * MIB);
    for (size_t i = 0; i < ARRAY_LEN(packers); i++) {
        size_t size = bzimage_build(file, packers[i]);
        for (size_t n = 1; n < size; n++)
            rig_fails(&r, file, n, n < LINUX_HEADER_MAGIC + 4 ? "magic" : "cut short");
        /* Cut, with a header that knows it: the decoder finds out. */
        size_t packed = size - SETUP - 0x300;
        for (size_t n = 8; n < packed; n++) {
            st_le32(file + LINUX_PAYLOAD_LENGTH, n);
            assert_false(rig_load(&r, file, size));
            assert_non_null(strstr(r.err.text, "packed kernel: "));
        }
    }
    rig_fini(&r);
}

static void test_damaged(void **state)
{
    struct rig r;
    uint8_t file[FILE_MAX];
    rig_init(&r, 64 * MIB);
    for (size_t i = 0; i < ARRAY_LEN(packers); i++) {
        size_t size = bzimage_build(file, packers[i]), start = SETUP + 0x300;
        for (size_t n = start + 6; n < size; n++) {
            file[n] ^= 0x10;
            /* zstd has no checksum here and gzip's header has idle bytes, so the ELF header may
             * come out different: it is an error, or a kernel within RAM. */
            if (rig_load(&r, file, size))
                assert_true(r.report.kernel_end <= 64 * MIB);
            else
                assert_non_null(strstr(r.err.text, r.kernel));
            file[n] ^= 0x10;
        }
        st_le32(file + size - 4, 0xfffffff0);
        rig_fails(&r, file, size, "packed kernel: ");
    }
    size_t size = bzimage_build(file, pack_xz);
    file[size - 4 - 20] ^= 1; /* in the index or footer of the stream */
    rig_fails(&r, file, size, "damaged");
    rig_fini(&r);
}

static void test_header(void **state)
{
    struct rig r;
    uint8_t file[FILE_MAX];
    rig_init(&r, 64 * MIB);
    size_t size = bzimage_build(file, pack_xz);
    st_le16(file + LINUX_VERSION, 0x020b);
    rig_fails(&r, file, size, "boot protocol 2.11; 2.12 or later");
    st_le16(file + LINUX_VERSION, 0x020f);
    st_le16(file + LINUX_XLOADFLAGS, 0);
    rig_fails(&r, file, size, "not a 64-bit kernel");
    st_le16(file + LINUX_XLOADFLAGS, LINUX_XLF_KERNEL_64);
    st_le32(file + LINUX_PAYLOAD_OFFSET, UINT32_MAX);
    rig_fails(&r, file, size, "cut short: the payload");
    st_le32(file + LINUX_PAYLOAD_OFFSET, 0x300);
    st_le32(file + LINUX_PAYLOAD_LENGTH, 0);
    rig_fails(&r, file, size, "names no payload");
    char line[102];
    memset(line, 'x', 101);
    line[101] = 0;
    r.config.cmdline = line;
    size = bzimage_build(file, pack_xz);
    rig_fails(&r, file, size, "has 101 characters; this kernel takes 100");
    line[100] = 0;
    assert_true(rig_load(&r, file, size));
    rig_fini(&r);
}

static void test_initrd_room(void **state)
{
    struct rig r;
    uint8_t file[FILE_MAX];
    rig_init(&r, 20 * MIB);
    size_t size = bzimage_build(file, pack_xz);
    void *big = calloc(1, 17 * MIB);
    r.config.initrd = r.initrd;
    write_file(r.initrd, big, 17 * MIB);
    rig_fails(&r, file, size, "give it more memory");
    assert_non_null(strstr(r.err.text, r.initrd));
    /* The highest place is below the kernel when there is no room above it. */
    write_file(r.initrd, big, 5 * MIB);
    assert_true(rig_load(&r, file, size));
    assert_int_equal(r.report.initrd_addr, LINK - 5 * MIB);
    /* initrd_addr_max counts. */
    write_file(r.initrd, big, 4096);
    st_le32(file + LINUX_INITRD_ADDR_MAX, 0x7fffff);
    assert_true(rig_load(&r, file, size));
    assert_int_equal(r.report.initrd_addr, 8 * MIB - 4096);
    free(big);
    rig_fini(&r);
}

static void test_guest_unpacks(void **state)
{
    struct rig r;
    uint8_t file[FILE_MAX];
    rig_init(&r, 64 * MIB);
    size_t size = bzimage_build(file, pack_xz);
    r.config.decompress = BOOT_DECOMPRESS_GUEST;
    for (int i = 0; i < 2; i++) {
        assert_true(rig_load(&r, file, size));
        assert_false(r.report.unpacked);
        assert_string_equal(r.report.payload, i ? "lz4" : "xz");
        assert_int_equal(r.entry.rip, LINK + 0x200);
        assert_memory_equal(r.ram.host + LINK, file + SETUP, size - SETUP);
        assert_int_equal(r.report.kernel_end - r.report.kernel_start, 0x40000);
        /* A format that the host cannot unpack stays for the guest by itself. */
        size = bzimage_build(file, pack_lz4);
        r.config.decompress = BOOT_DECOMPRESS_AUTO;
    }
    r.config.decompress = BOOT_DECOMPRESS_HOST;
    rig_fails(&r, file, size, "packed as lz4");
    r.config.decompress = BOOT_DECOMPRESS_GUEST;
    st_le64(file + LINUX_PREF_ADDRESS, 64 * MIB - 0x3f000);
    rig_fails(&r, file, size, "outside RAM");
    st_le64(file + LINUX_PREF_ADDRESS, UINT64_MAX - 0x1000);
    rig_fails(&r, file, size, "beyond 4 GiB");
    rig_fini(&r);
}

/* The kernel that the whole project is about, when it is there. */
static void test_debian(void **state)
{
    char path[512];
    const char *cache = getenv("PERILUNE_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    if (cache)
        snprintf(path, sizeof path, "%s/vmlinuz", cache);
    else
        snprintf(path, sizeof path, "%s%s/perilune/vmlinuz", xdg ? xdg : getenv("HOME"),
                 xdg ? "" : "/.cache");
    if (access(path, R_OK) != 0) {
        print_message("SKIPPED: %s is not there; run scripts/fetch-guest\n", path);
        skip();
    }
    struct rig r;
    rig_init(&r, 256 * MIB);
    r.config.kernel = path;
    r.config.cmdline = "console=ttyS0";
    if (!boot_load(&r.config, &r.entry, &r.report, &r.err))
        fail_msg("%s", r.err.text);
    print_message("protocol %x, %s payload, %llu bytes in, %llu out, unpacked in %llu ms\n",
                  r.report.protocol, r.report.payload,
                  (unsigned long long)r.report.kernel_file_size,
                  (unsigned long long)r.report.unpacked_size,
                  (unsigned long long)r.report.payload_ns / 1000000);
    assert_true(r.report.unpacked);
    assert_int_equal(r.entry.rip, LINK);
    assert_true(r.report.kernel_end > r.report.kernel_start + 16 * MIB);
    /* The banner is in the read-only data, so it was unpacked to where it belongs. */
    assert_non_null(memmem(r.ram.host + LINK, r.report.kernel_end - LINK, "Linux version 6.", 16));
    r.config.decompress = BOOT_DECOMPRESS_GUEST;
    assert_true(boot_load(&r.config, &r.entry, &r.report, &r.err));
    assert_int_equal(r.entry.rip, LINK + 0x200);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params),        cmocka_unit_test(test_params_empty),
        cmocka_unit_test(test_truncated),     cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_header),        cmocka_unit_test(test_initrd_room),
        cmocka_unit_test(test_guest_unpacks), cmocka_unit_test(test_debian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
