/* Offsets and values of the Linux/x86 boot protocol: Documentation/x86/boot.rst ("The Real-Mode
 * Kernel Header") and zero-page.rst of Linux 6.1. Offsets are the same in a bzImage and in
 * boot_params. */
#pragma once

enum {
    LINUX_ACPI_RSDP_ADDR = 0x070, /* boot_params only */
    LINUX_E820_ENTRIES = 0x1e8,   /* boot_params only */
    LINUX_SETUP_HEADER = 0x1f1,
    LINUX_SETUP_SECTS = 0x1f1,
    LINUX_VID_MODE = 0x1fa,
    LINUX_BOOT_FLAG = 0x1fe,
    LINUX_JUMP_OFFSET = 0x201, /* the header ends at 0x202 plus this byte */
    LINUX_HEADER_MAGIC = 0x202,
    LINUX_VERSION = 0x206,
    LINUX_TYPE_OF_LOADER = 0x210,
    LINUX_LOADFLAGS = 0x211,
    LINUX_CODE32_START = 0x214,
    LINUX_RAMDISK_IMAGE = 0x218,
    LINUX_RAMDISK_SIZE = 0x21c,
    LINUX_CMD_LINE_PTR = 0x228,
    LINUX_INITRD_ADDR_MAX = 0x22c,
    LINUX_XLOADFLAGS = 0x236,
    LINUX_CMDLINE_SIZE = 0x238,
    LINUX_PAYLOAD_OFFSET = 0x248, /* from the start of the protected-mode part */
    LINUX_PAYLOAD_LENGTH = 0x24c,
    LINUX_SETUP_DATA = 0x250,
    LINUX_PREF_ADDRESS = 0x258,
    LINUX_INIT_SIZE = 0x260,
    LINUX_HEADER_LAST = 0x268, /* what protocol 2.12 has at least */
    LINUX_HEADER_MAX = 0x290,  /* boot_params has other fields from here */
    LINUX_E820_TABLE = 0x2d0,  /* boot_params only */

    LINUX_BOOT_FLAG_VALUE = 0xaa55,
    LINUX_PROTOCOL_LEAST = 0x020c, /* 2.12: the 64-bit entry */
    LINUX_XLF_KERNEL_64 = 1 << 0,
    LINUX_LOADED_HIGH = 1 << 0,
    LINUX_LOADER_UNDEFINED = 0xff,
    LINUX_VID_MODE_NORMAL = 0xffff,
    LINUX_ENTRY_64 = 0x200, /* from the start of the protected-mode part */
    LINUX_E820_MAX = 128,
    LINUX_E820_ENTRY_SIZE = 20,
    LINUX_SETUP_RNG_SEED = 9,
    LINUX_SECTOR = 512,
};
