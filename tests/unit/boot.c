/* The loaders for ELF programs, PVH, multiboot and raw files, on files written by the test. */
#include "boot_fixture.h"

#include "boot/image.h"

#include <linux/kvm.h>

static const struct test_segment two[] = { { MIB, 100, 300 }, { 2 * MIB, 50, 50 } };

static void set16(uint8_t *p, size_t at, uint16_t v)
{
    st_le16(p + at, v);
}

/* Where `va` is mapped by the tables at cr3, by hand; fails the test when it is not. */
static uint64_t translate(const struct rig *r, uint64_t cr3, uint64_t va)
{
    const uint8_t *ram = r->ram.host;
    uint64_t e = ld_le64(ram + cr3 + 8 * bits_get(va, 39, 9));
    assert_int_equal(e & 3, 3);
    e = ld_le64(ram + (e & ~0xfffull) + 8 * bits_get(va, 30, 9));
    assert_int_equal(e & 3, 3);
    e = ld_le64(ram + (e & ~0xfffull) + 8 * bits_get(va, 21, 9));
    assert_int_equal(e & 0x83, 0x83);
    return (e & ~0x1fffffull) | (va & 0x1fffff);
}

static void test_elf64(void **state)
{
    struct rig r;
    uint8_t file[4096];
    rig_init(&r, 8 * MIB);
    r.config.cmdline = "one two";
    size_t size = elf64_build(file, MIB + 4, two, 2);
    assert_true(rig_load(&r, file, size));
    assert_int_equal(r.report.format, BOOT_FORMAT_ELF);
    assert_bytes(&r, MIB, 0x11, 100);
    assert_bytes(&r, MIB + 100, 0, 200);
    assert_bytes(&r, MIB + 300, 0x5a, 10);
    assert_bytes(&r, 2 * MIB, 0x22, 50);
    assert_int_equal(r.report.kernel_start, MIB);
    assert_int_equal(r.report.kernel_end, 2 * MIB + 50);
    assert_int_equal(r.entry.mode, BOOT_LONG64);
    assert_int_equal(r.entry.rip, MIB + 4);
    assert_string_equal(r.ram.host + r.entry.rdi, "one two");
    assert_int_equal(r.entry.rsp & 15, 8);
    assert_int_equal(ld_le64(r.ram.host + r.entry.rsp), 0);
    static const uint64_t probes[] = { 0, MIB, 0x3fffffff, 0x40000000, 0xfee00123, 0xffffffff };
    for (size_t i = 0; i < ARRAY_LEN(probes); i++)
        assert_int_equal(translate(&r, r.entry.cr3, probes[i]), probes[i]);
    rig_fini(&r);
}

static void test_registers(void **state)
{
    struct rig r;
    uint8_t file[4096];
    struct kvm_regs regs;
    struct kvm_sregs sregs = { .apic_base = 0xfee00900 };
    rig_init(&r, 8 * MIB);
    assert_true(rig_load(&r, file, elf64_build(file, MIB, two, 2)));
    boot_entry_registers(&r.entry, &regs, &sregs);
    assert_int_equal(regs.rip, MIB);
    assert_int_equal(regs.rflags, 2);
    assert_int_equal(sregs.cs.selector, BOOT_CS);
    assert_int_equal(sregs.cs.l, 1);
    assert_int_equal(sregs.cs.db, 0);
    assert_int_equal(sregs.ds.selector, BOOT_DS);
    assert_int_equal(sregs.efer, 0x500);
    assert_int_equal(sregs.cr0 & 0x80000001, 0x80000001);
    assert_int_equal(sregs.cr4 & 0x20, 0x20);
    assert_int_equal(sregs.apic_base, 0xfee00900);
    /* The descriptors in RAM say what the hidden parts of the segment registers say. */
    assert_int_equal(sregs.gdt.limit, 31);
    assert_int_equal(ld_le64(r.ram.host + sregs.gdt.base + BOOT_CS), 0x00af9b000000ffff);
    assert_int_equal(ld_le64(r.ram.host + sregs.gdt.base + BOOT_DS), 0x00cf93000000ffff);

    assert_true(rig_load(&r, file, elf32_build(file, MIB, two, 2)));
    boot_entry_registers(&r.entry, &regs, &sregs);
    assert_int_equal(sregs.cs.l, 0);
    assert_int_equal(sregs.cs.db, 1);
    assert_int_equal(sregs.cs.limit, 0xffffffff);
    assert_int_equal(sregs.efer, 0);
    assert_int_equal(sregs.cr0, 0x11);
    assert_int_equal(sregs.cr3, 0);
    assert_int_equal(ld_le64(r.ram.host + sregs.gdt.base + BOOT_CS), 0x00cf9b000000ffff);
    rig_fini(&r);
}

static void test_elf32(void **state)
{
    struct rig r;
    uint8_t file[4096];
    rig_init(&r, 8 * MIB);
    assert_true(rig_load(&r, file, elf32_build(file, MIB + 8, two, 2)));
    assert_int_equal(r.entry.mode, BOOT_PROT32);
    assert_int_equal(r.entry.rip, MIB + 8);
    assert_bytes(&r, MIB, 0x11, 100);
    assert_bytes(&r, MIB + 100, 0, 200);
    assert_bytes(&r, 2 * MIB, 0x22, 50);
    write_file(r.initrd, "x", 1);
    r.config.initrd = r.initrd;
    rig_fails(&r, file, elf32_build(file, MIB, two, 2), "takes no initrd");
    rig_fini(&r);
}

static void test_elf_truncated(void **state)
{
    struct rig r;
    uint8_t file[4096];
    rig_init(&r, 8 * MIB);
    for (int is64 = 0; is64 < 2; is64++) {
        size_t size = is64 ? elf64_build(file, MIB, two, 2) : elf32_build(file, MIB, two, 2);
        rig_fails(&r, file, 0, "empty");
        for (size_t n = 1; n < size; n++)
            rig_fails(&r, file, n, n < 4 ? "magic" : "cut short");
        assert_true(rig_load(&r, file, size));
        /* A section table that is not there does not matter. */
        st_le64(file + (is64 ? 40 : 32), 1 << 30);
        assert_true(rig_load(&r, file, size));
    }
    rig_fini(&r);
}

static void test_elf_headers(void **state)
{
    struct rig r;
    uint8_t file[4096];
    rig_init(&r, 8 * MIB);
    size_t size = elf64_build(file, MIB, two, 2);
    set16(file, 18, EM_AARCH64);
    rig_fails(&r, file, size, "wrong ELF machine 183");
    set16(file, 18, EM_386);
    rig_fails(&r, file, size, "wrong ELF machine 3; expected 62");
    elf64_build(file, MIB, two, 2);
    file[EI_CLASS] = 3;
    rig_fails(&r, file, size, "wrong ELF class 3");
    elf64_build(file, MIB, two, 2);
    file[EI_DATA] = ELFDATA2MSB;
    rig_fails(&r, file, size, "byte order");
    elf64_build(file, MIB, two, 2);
    set16(file, 16, ET_REL);
    rig_fails(&r, file, size, "wrong ELF type 1");
    elf64_build(file, MIB, two, 2);
    set16(file, 56, 0);
    rig_fails(&r, file, size, "no program headers");
    set16(file, 56, 0xffff);
    rig_fails(&r, file, size, "65535 ELF program headers");
    elf64_build(file, MIB, two, 2);
    st_le64(file + 32, UINT64_MAX - 8); /* e_phoff */
    rig_fails(&r, file, size, "ELF");
    elf64_build(file, MIB, two, 2);
    st_le32(file + 64, PT_NULL);
    st_le32(file + 120, PT_NULL);
    rig_fails(&r, file, size, "no segment to load");
    memcpy(file, "MZ\0\0", 4);
    rig_fails(&r, file, size, "wrong magic");
    r.config.format = BOOT_FORMAT_PVH;
    rig_fails(&r, file, size, "wrong magic");
    elf64_build(file, MIB, two, 2);
    rig_fails(&r, file, size, "no PVH entry");
    rig_fini(&r);
}

static void test_elf_placement(void **state)
{
    struct rig r;
    uint8_t file[4096];
    rig_init(&r, 8 * MIB);
    struct test_segment s[] = { { MIB, 100, 300 }, { MIB + 299, 50, 50 } };
    rig_fails(&r, file, elf64_build(file, MIB, s, 2),
              "ELF segment 1 at 0x10012b-0x10015c overlaps "
              "ELF segment 0 at 0x100000-0x10012b");
    s[1].paddr = 8 * MIB - 49;
    rig_fails(&r, file, elf64_build(file, MIB, s, 2),
              "ELF segment 1 at 0x7fffcf (0x32 bytes) is "
              "outside RAM; the machine has 8192 KiB");
    s[1].paddr = 8 * MIB - 50;
    assert_true(rig_load(&r, file, elf64_build(file, MIB, s, 2)));
    s[1].paddr = UINT64_MAX - 48;
    rig_fails(&r, file, elf64_build(file, MIB, s, 2), "overflows");
    s[1].paddr = 0xffff0000; /* ROM */
    rig_fails(&r, file, elf64_build(file, MIB, s, 2), "outside RAM");
    s[1] = (struct test_segment){ 2 * MIB, 50, 49 };
    rig_fails(&r, file, elf64_build(file, MIB, s, 2), "only 0x31 in memory");
    s[1] = (struct test_segment){ 2 * MIB, 50, UINT64_MAX - 2 * MIB };
    rig_fails(&r, file, elf64_build(file, MIB, s, 2), "outside RAM");
    s[1].mem_size = UINT64_MAX;
    rig_fails(&r, file, elf64_build(file, MIB, s, 2), "overflows");
    rig_fini(&r);
}

static void test_memory_map(void **state)
{
    struct rig r;
    uint8_t file[4096];
    rig_init(&r, 8 * MIB);
    struct boot_e820 map[] = { { MIB, 7 * MIB, BOOT_E820_RAM },
                               { 0, 0x9fc00, BOOT_E820_RAM },
                               { 2 * MIB, 4096, BOOT_E820_ACPI } };
    r.config.e820 = map;
    r.config.e820_count = 3;
    size_t size = elf64_build(file, MIB, two, 2);
    rig_fails(&r, file, size, "overlaps a reserved range");
    map[2].addr = 3 * MIB;
    assert_true(rig_load(&r, file, size));
    map[0].size = 9 * MIB; /* more than the machine has */
    struct test_segment s = { 9 * MIB, 4, 4 };
    rig_fails(&r, file, elf64_build(file, 9 * MIB, &s, 1), "not in the machine");
    map[0].addr = UINT64_MAX;
    assert_false(rig_load(&r, file, size));
    assert_non_null(strstr(r.err.text, "wraps"));
    rig_fini(&r);
}

/* No room for tables and stack: a clear error, whatever the size. */
static void test_small_ram(void **state)
{
    uint8_t file[4096];
    for (uint64_t pages = 1; pages <= 32; pages++) {
        struct rig r;
        rig_init(&r, pages * 4096);
        struct test_segment s = { 0, 64, 64 };
        if (!rig_load(&r, file, elf64_build(file, 0, &s, 1)))
            assert_non_null(strstr(r.err.text, "give it more memory"));
        else
            assert_true(pages >= 12);
        assert_true(pages < 32 || r.entry.rip == 0);
        rig_fini(&r);
    }
}

static void test_files(void **state)
{
    struct rig r;
    rig_init(&r, 8 * MIB);
    r.config.kernel = "/nonexistent/vmlinuz";
    assert_false(boot_load(&r.config, &r.entry, NULL, &r.err));
    assert_string_equal(r.err.text, "kernel /nonexistent/vmlinuz: No such file or directory");
    r.config.kernel = "/tmp";
    assert_false(boot_load(&r.config, &r.entry, NULL, &r.err));
    assert_string_equal(r.err.text, "kernel /tmp: is a directory");
    r.config.kernel = "/dev/null";
    assert_false(boot_load(&r.config, &r.entry, NULL, &r.err));
    assert_string_equal(r.err.text, "kernel /dev/null: is not a regular file");
    r.config.kernel = r.kernel;
    r.config.initrd = "/nonexistent/initrd";
    write_file(r.kernel, "x", 1);
    assert_false(boot_load(&r.config, &r.entry, NULL, &r.err));
    assert_string_equal(r.err.text, "initrd /nonexistent/initrd: No such file or directory");
    rig_fini(&r);
}

static void test_raw(void **state)
{
    struct rig r;
    uint8_t bytes[0x2000];
    rig_init(&r, MIB);
    memset(bytes, 0x77, sizeof bytes);
    write_file(r.kernel, bytes, sizeof bytes);
    assert_true(boot_load_raw(r.as, r.kernel, 0x1234, &r.err));
    assert_bytes(&r, 0x1233, 0x5a, 1);
    assert_bytes(&r, 0x1234, 0x77, sizeof bytes);
    assert_true(boot_load_raw(r.as, r.kernel, 0xffffe000, &r.err)); /* ROM, to its end */
    assert_int_equal(r.rom.host[0xffff], 0x77);
    assert_false(boot_load_raw(r.as, r.kernel, MIB - 0x1000, &r.err));
    assert_non_null(strstr(r.err.text, "there is no memory at 0x100000"));
    assert_bytes(&r, MIB - 0x1000, 0x5a, 0x1000);
    assert_false(boot_load_raw(r.as, r.kernel, UINT64_MAX, &r.err));
    rig_fini(&r);
}

/* A program with a PVH note: header, one segment, the note. */
static size_t pvh_build(uint8_t *out, uint32_t entry, uint32_t desc_size)
{
    struct test_segment s[] = { { MIB, 64, 64 }, { 2 * MIB, 32, 32 } };
    size_t size = elf64_build(out, 0xdead, s, 2);
    Elf64_Phdr *ph = (Elf64_Phdr *)(out + sizeof(Elf64_Ehdr));
    ph[1].p_type = PT_NOTE;
    ph[1].p_align = 4;
    ph[1].p_filesz = 12 + 4 + desc_size;
    uint32_t note[] = { 4, desc_size, 18, 0x006e6558 /* "Xen" */, entry, 0 };
    memcpy(out + ph[1].p_offset, note, 16 + desc_size);
    return size;
}

static void test_pvh(void **state)
{
    struct rig r;
    uint8_t file[4096];
    rig_init(&r, 8 * MIB);
    static const struct boot_e820 map[] = { { 0, 0x9fc00, 1 }, { MIB, 7 * MIB, 1 } };
    r.config.e820 = map;
    r.config.e820_count = 2;
    r.config.cmdline = "console=ttyS0";
    r.config.rsdp = 0xf1234;
    r.config.initrd = r.initrd;
    write_file(r.initrd, "initrd bytes", 12);
    for (uint32_t desc = 4; desc <= 8; desc += 4) {
        assert_true(rig_load(&r, file, pvh_build(file, MIB + 0x20, desc)));
        assert_int_equal(r.report.format, BOOT_FORMAT_PVH);
        assert_int_equal(r.entry.mode, BOOT_PROT32);
        assert_int_equal(r.entry.rip, MIB + 0x20);
    }
    const uint8_t *ram = r.ram.host, *info = ram + r.entry.rbx;
    assert_int_equal(ld_le32(info), 0x336ec578);
    assert_int_equal(ld_le32(info + 4), 1);
    assert_int_equal(ld_le32(info + 12), 1);
    const uint8_t *module = ram + ld_le64(info + 16);
    assert_memory_equal(ram + ld_le64(module), "initrd bytes", 12);
    assert_int_equal(ld_le64(module + 8), 12);
    assert_int_equal(ld_le64(module), 8 * MIB - 4096);
    assert_string_equal(ram + ld_le64(info + 24), "console=ttyS0");
    assert_int_equal(ld_le64(info + 32), 0xf1234);
    const uint8_t *memmap = ram + ld_le64(info + 40);
    assert_int_equal(ld_le32(info + 48), 2);
    assert_int_equal(ld_le64(memmap + 24), MIB);
    assert_int_equal(ld_le64(memmap + 32), 7 * MIB);
    assert_int_equal(ld_le32(memmap + 40), 1);
    rig_fini(&r);
}

static void multiboot_header(uint8_t *at, uint32_t flags)
{
    st_le32(at, 0x1badb002);
    st_le32(at + 4, flags);
    st_le32(at + 8, -(0x1badb002 + flags));
}

static void check_multiboot(struct rig *r)
{
    const uint8_t *ram = r->ram.host, *info = ram + r->entry.rbx;
    assert_int_equal(r->report.format, BOOT_FORMAT_MULTIBOOT);
    assert_int_equal(r->entry.mode, BOOT_PROT32);
    assert_int_equal(r->entry.rax, 0x2badb002);
    assert_int_equal(ld_le32(info) & 0x24d, 0x24d);
    assert_int_equal(ld_le32(info + 4), 640);
    assert_int_equal(ld_le32(info + 8), 7 * 1024);
    char *name = strrchr(r->kernel, '/') + 1, line[128];
    snprintf(line, sizeof line, "%s a=b", name);
    assert_string_equal(ram + ld_le32(info + 16), line);
    assert_int_equal(ld_le32(info + 20), 1);
    const uint8_t *module = ram + ld_le32(info + 24);
    assert_memory_equal(ram + ld_le32(module), "module", 6);
    assert_int_equal(ld_le32(module + 4) - ld_le32(module), 6);
    assert_int_equal(ld_le32(info + 44), 24);
    const uint8_t *map = ram + ld_le32(info + 48);
    assert_int_equal(ld_le32(map), 20);
    assert_int_equal(ld_le64(map + 12), 8 * MIB);
    assert_string_equal(ram + ld_le32(info + 64), "perilune");
}

static void test_multiboot(void **state)
{
    struct rig r;
    uint8_t file[16384] = { 0 };
    rig_init(&r, 8 * MIB);
    r.config.cmdline = "a=b";
    r.config.initrd = r.initrd;
    write_file(r.initrd, "module", 6);
    for (int is64 = 0; is64 < 2; is64++) {
        size_t size = is64 ? elf64_build(file, MIB, two, 2) : elf32_build(file, MIB, two, 2);
        size_t at = align_up(size - 140, 4);
        multiboot_header(file + at, 3);
        assert_true(rig_load(&r, file, size));
        check_multiboot(&r);
        assert_int_equal(r.entry.rip, MIB);
        multiboot_header(file + at, 8);
        rig_fails(&r, file, size, "asks for 0x8");
        file[at + 8] ^= 1; /* a wrong checksum is no header: a bare program */
        rig_fails(&r, file, size, "takes no initrd");
    }
    rig_fini(&r);
}

static void test_multiboot_addresses(void **state)
{
    struct rig r;
    uint8_t file[16384] = { 0 };
    rig_init(&r, 8 * MIB);
    r.config.cmdline = "a=b";
    r.config.initrd = r.initrd;
    write_file(r.initrd, "module", 6);
    memset(file, 0x33, sizeof file);
    uint8_t *h = file + 0x40;
    multiboot_header(h, 1 << 16);
    st_le32(h + 12, MIB + 0x40);
    st_le32(h + 16, MIB);
    st_le32(h + 20, MIB + 0x2000);
    st_le32(h + 24, MIB + 0x3000);
    st_le32(h + 28, MIB + 0x100);
    assert_true(rig_load(&r, file, sizeof file));
    check_multiboot(&r);
    assert_int_equal(r.entry.rip, MIB + 0x100);
    assert_bytes(&r, MIB + 0x100, 0x33, 0x1f00);
    assert_bytes(&r, MIB + 0x2000, 0, 0x1000);
    assert_bytes(&r, MIB + 0x3000, 0x5a, 16);
    rig_fails(&r, file, 0x1fff, "cut short");
    rig_fails(&r, file, 0x5c, "cut short in the header");
    st_le32(h + 24, MIB + 0x1000);
    rig_fails(&r, file, sizeof file, "bss_end_addr");
    st_le32(h + 24, 16 * MIB);
    rig_fails(&r, file, sizeof file, "outside RAM");
    st_le32(h + 16, MIB + 0x41);
    rig_fails(&r, file, sizeof file, "load_addr");
    rig_fini(&r);
}

/* Somebody cuts the file short between opening and reading it. */
static void test_cut_while_read(void **state)
{
    struct error err = { 0 };
    struct image image;
    char path[64];
    uint8_t bytes[16384];
    memset(bytes, 0x44, sizeof bytes);
    snprintf(path, sizeof path, "/tmp/perilune-boot-c.%d", (int)getpid());
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(bytes, 1, sizeof bytes, f), sizeof bytes);
    fclose(f);
    assert_true(image_open(&image, "kernel", path, UINT32_MAX, &err));
    memset(bytes, 0, sizeof bytes);
    assert_true(image_read(&image, 4096, bytes, 8192, &err));
    assert_int_equal(bytes[8191], 0x44);
    assert_int_equal(bytes[8192], 0);
    assert_int_equal(truncate(path, 5000), 0);
    assert_false(image_read(&image, 4096, bytes, 8192, &err));
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "cut short to 5000 bytes"));
    image_close(&image);
    unlink(path);
}

/* "FILE ARGUMENTS,FILE": each in pages of its own; what a module is told is its name and arguments.
 */
static void test_multiboot_modules(void **state)
{
    struct rig r;
    uint8_t file[16384] = { 0 };
    char list[256], expected[128];
    rig_init(&r, 8 * MIB);
    write_file(r.initrd, "module", 6);
    const char *name = strrchr(r.initrd, '/') + 1;
    size_t size = elf32_build(file, MIB, two, 2);
    multiboot_header(file + align_up(size - 140, 4), 3);
    snprintf(list, sizeof list, "%s one  two,,three,%s,%s x", r.initrd, r.initrd, r.initrd);
    r.config.initrd = list;
    assert_true(rig_load(&r, file, size));
    const uint8_t *ram = r.ram.host, *info = ram + r.entry.rbx, *m = ram + ld_le32(info + 24);
    static const char *const arguments[] = { " one  two,three", "", " x" };
    assert_int_equal(ld_le32(info + 20), 3);
    for (unsigned i = 0; i < 3; i++, m += 16) {
        assert_memory_equal(ram + ld_le32(m), "module", 6);
        assert_int_equal(ld_le32(m + 4) - ld_le32(m), 6);
        assert_int_equal(ld_le32(m) & 4095, 0);
        assert_true(i == 0 || ld_le32(m) != ld_le32(m - 16));
        snprintf(expected, sizeof expected, "%s%s", name, arguments[i]);
        assert_string_equal(ram + ld_le32(m + 8), expected);
    }
    r.config.initrd = NULL;
    assert_true(rig_load(&r, file, size));
    assert_int_equal(ld_le32(ram + r.entry.rbx + 20), 0);
    snprintf(list, sizeof list, "%s,", r.initrd);
    r.config.initrd = list;
    rig_fails(&r, file, size, "a module without a file name");
    snprintf(list, sizeof list, "%s,/nonexistent a", r.initrd);
    rig_fails(&r, file, size, "module /nonexistent: No such file");
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elf64),
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_elf32),
        cmocka_unit_test(test_elf_truncated),
        cmocka_unit_test(test_elf_headers),
        cmocka_unit_test(test_elf_placement),
        cmocka_unit_test(test_memory_map),
        cmocka_unit_test(test_small_ram),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_pvh),
        cmocka_unit_test(test_multiboot),
        cmocka_unit_test(test_multiboot_addresses),
        cmocka_unit_test(test_multiboot_modules),
        cmocka_unit_test(test_cut_while_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
