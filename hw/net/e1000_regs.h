/* Registers, descriptors and bits of the Intel 82540EM.
 *
 * Section numbers are those of Intel's "PCI/PCI-X Family of Gigabit Ethernet Controllers Software
 * Developer's Manual", 317453. Offsets are from BAR 0; a mask is named after its register. */
#pragma once

/* General (13.4.1 - 13.4.16) */
enum {
    E1000_CTRL = 0x0000,
    E1000_CTRL_FD = 1 << 0,
    E1000_CTRL_LRST = 1 << 3,
    E1000_CTRL_ASDE = 1 << 5,
    E1000_CTRL_SLU = 1 << 6,
    E1000_CTRL_SPEED_SHIFT = 8,
    E1000_CTRL_FRCSPD = 1 << 11,
    E1000_CTRL_FRCDPX = 1 << 12,
    E1000_CTRL_RST = 1 << 26, /* clears itself */
    E1000_CTRL_RFCE = 1 << 27,
    E1000_CTRL_TFCE = 1 << 28,
    E1000_CTRL_VME = 1 << 30,
    E1000_STATUS = 0x0008,
    E1000_STATUS_FD = 1 << 0,
    E1000_STATUS_LU = 1 << 1,
    E1000_STATUS_TXOFF = 1 << 4,
    E1000_STATUS_SPEED_SHIFT = 6,
    E1000_STATUS_ASDV_SHIFT = 8,
    E1000_STATUS_MTXCKOK = 1 << 10,
    E1000_EECD = 0x0010,
    E1000_EECD_SK = 1 << 0,
    E1000_EECD_CS = 1 << 1,
    E1000_EECD_DI = 1 << 2,
    E1000_EECD_DO = 1 << 3,
    E1000_EECD_FWE = 3 << 4,
    E1000_EECD_REQ = 1 << 6,
    E1000_EECD_GNT = 1 << 7,
    E1000_EECD_PRES = 1 << 8,
    E1000_EERD = 0x0014,
    E1000_EERD_START = 1 << 0,
    E1000_EERD_DONE = 1 << 4,
    E1000_EERD_ADDR_SHIFT = 8,
    E1000_EERD_DATA_SHIFT = 16,
    E1000_CTRL_EXT = 0x0018,
    E1000_CTRL_EXT_ASDCHK = 1 << 12, /* both clear themselves */
    E1000_CTRL_EXT_EE_RST = 1 << 13,
    E1000_FLA = 0x001c, /* the wires of a serial flash */
    E1000_FLA_SO = 1 << 3,
    E1000_FLA_REQ = 1 << 4,
    E1000_FLA_GNT = 1 << 5,
    E1000_MDIC = 0x0020,
    E1000_MDIC_REG_SHIFT = 16,
    E1000_MDIC_PHY_SHIFT = 21,
    E1000_MDIC_OP_SHIFT = 26,
    E1000_MDIC_OP_WRITE = 1,
    E1000_MDIC_OP_READ = 2,
    E1000_MDIC_READY = 1 << 28,
    E1000_MDIC_INTERRUPT = 1 << 29,
    E1000_MDIC_ERROR = 1 << 30,
    E1000_MDIC_KEPT = 0x2fffffff, /* of what is written; bit 31 is reserved */
    E1000_FCAL = 0x0028,
    E1000_FCAH = 0x002c,
    E1000_FCT = 0x0030,
    E1000_VET = 0x0038,
    E1000_FCTTV = 0x0170,
    E1000_TXCW = 0x0178,
    E1000_RXCW = 0x0180,
    E1000_LEDCTL = 0x0e00,
    E1000_PBA = 0x1000,
    E1000_PBA_RXA = 0x78, /* KiB, multiples of eight */
    E1000_PBA_TXA_SHIFT = 16,
    E1000_PBA_KIB = 64,
};
#define E1000_CTRL_PHY_RST (1u << 31)

/* Interrupts (13.4.17 - 13.4.21) */
enum {
    E1000_ICR = 0x00c0,
    E1000_ICR_TXDW = 1 << 0,
    E1000_ICR_TXQE = 1 << 1,
    E1000_ICR_LSC = 1 << 2,
    E1000_ICR_RXSEQ = 1 << 3,
    E1000_ICR_RXDMT0 = 1 << 4,
    E1000_ICR_RXO = 1 << 6,
    E1000_ICR_RXT0 = 1 << 7,
    E1000_ICR_MDAC = 1 << 9,
    E1000_ICR_TXD_LOW = 1 << 15,
    E1000_ICR_SRPD = 1 << 16,
    E1000_ICR_ALL = 0x1ffff, /* 5 and 8, which are reserved, included: Intel's drivers test them */
    E1000_ITR = 0x00c4,      /* units of 256 ns */
    E1000_ICS = 0x00c8,
    E1000_IMS = 0x00d0,
    E1000_IMC = 0x00d8,
    E1000_ITR_UNIT_NS = 256,
    E1000_DELAY_UNIT_NS = 1024, /* of RDTR, RADV, TIDV, TADV */
};

/* Receive (13.4.22 - 13.4.32, 13.5) */
enum {
    E1000_RCTL = 0x0100,
    E1000_RCTL_EN = 1 << 1,
    E1000_RCTL_SBP = 1 << 2,
    E1000_RCTL_UPE = 1 << 3,
    E1000_RCTL_MPE = 1 << 4,
    E1000_RCTL_LPE = 1 << 5,
    E1000_RCTL_LBM_SHIFT = 6,
    E1000_RCTL_RDMTS_SHIFT = 8,
    E1000_RCTL_MO_SHIFT = 12,
    E1000_RCTL_BAM = 1 << 15,
    E1000_RCTL_BSIZE_SHIFT = 16,
    E1000_RCTL_VFE = 1 << 18,
    E1000_RCTL_CFIEN = 1 << 19,
    E1000_RCTL_CFI = 1 << 20,
    E1000_RCTL_DPF = 1 << 22,
    E1000_RCTL_PMCF = 1 << 23,
    E1000_RCTL_BSEX = 1 << 25,
    E1000_RCTL_SECRC = 1 << 26,
    E1000_RDFH = 0x2410,
    E1000_RDFT = 0x2418,
    E1000_RDFHS = 0x2420,
    E1000_RDFTS = 0x2428,
    E1000_RDFPC = 0x2430,
    E1000_FCRTL = 0x2160,
    E1000_FCRTH = 0x2168,
    E1000_RDBAL = 0x2800,
    E1000_RDBAH = 0x2804,
    E1000_RDLEN = 0x2808,
    E1000_RDH = 0x2810,
    E1000_RDT = 0x2818,
    E1000_RDTR = 0x2820,
    E1000_RXDCTL = 0x2828,
    E1000_RADV = 0x282c,
    E1000_RSRPD = 0x2c00,
    E1000_RXCSUM = 0x5000,
    E1000_RXCSUM_IPOFL = 1 << 8,
    E1000_RXCSUM_TUOFL = 1 << 9,
    E1000_RXCSUM_IPV6OFL = 1 << 10,
    E1000_MTA = 0x5200,
    E1000_RA = 0x5400, /* RAL, RAH in turn */
    E1000_RAH_AS_SHIFT = 16,
    E1000_VFTA = 0x5600,
    E1000_MTA_WORDS = 128,
    E1000_RA_PAIRS = 16,
    E1000_VFTA_WORDS = 128,
};
#define E1000_RDTR_FPD   (1u << 31)
#define E1000_FCRTL_XONE (1u << 31)
#define E1000_RAH_AV     (1u << 31)
#define E1000_RAH_BITS   0x8003ffffu

/* Transmit (13.4.33 - 13.4.47) */
enum {
    E1000_TCTL = 0x0400,
    E1000_TCTL_EN = 1 << 1,
    E1000_TCTL_PSP = 1 << 3,
    E1000_TCTL_SWXOFF = 1 << 22, /* clears itself */
    E1000_TIPG = 0x0410,
    E1000_AIFS = 0x0458,
    E1000_TXDMAC = 0x3000,
    E1000_TDFH = 0x3410,
    E1000_TDFT = 0x3418,
    E1000_TDFHS = 0x3420,
    E1000_TDFTS = 0x3428,
    E1000_TDFPC = 0x3430,
    E1000_TDBAL = 0x3800,
    E1000_TDBAH = 0x3804,
    E1000_TDLEN = 0x3808,
    E1000_TDH = 0x3810,
    E1000_TDT = 0x3818,
    E1000_TIDV = 0x3820,
    E1000_TXDCTL = 0x3828,
    E1000_DCTL_PTHRESH_SHIFT = 0, /* of RXDCTL and TXDCTL */
    E1000_DCTL_HTHRESH_SHIFT = 8,
    E1000_DCTL_WTHRESH_SHIFT = 16,
    E1000_DCTL_GRAN = 1 << 24,        /* in descriptors, else in cache lines */
    E1000_TXDCTL_LWTHRESH_SHIFT = 25, /* in eight descriptors */
    E1000_TADV = 0x382c,
    E1000_TSPMT = 0x3830,
};
#define E1000_TIDV_FPD (1u << 31)

/* Statistics (13.7): cleared by reading, stuck at their maximum */
enum {
    E1000_CRCERRS = 0x4000,
    E1000_ALGNERRC = 0x4004,
    E1000_SYMERRS = 0x4008,
    E1000_RXERRC = 0x400c,
    E1000_MPC = 0x4010,
    E1000_SCC = 0x4014,
    E1000_ECOL = 0x4018,
    E1000_MCC = 0x401c,
    E1000_LATECOL = 0x4020,
    E1000_COLC = 0x4028,
    E1000_DC = 0x4030,
    E1000_TNCRS = 0x4034,
    E1000_SEC = 0x4038,
    E1000_CEXTERR = 0x403c,
    E1000_RLEC = 0x4040,
    E1000_XONRXC = 0x4048,
    E1000_XONTXC = 0x404c,
    E1000_XOFFRXC = 0x4050,
    E1000_XOFFTXC = 0x4054,
    E1000_FCRUC = 0x4058,
    E1000_PRC64 = 0x405c,
    E1000_PRC127 = 0x4060,
    E1000_PRC255 = 0x4064,
    E1000_PRC511 = 0x4068,
    E1000_PRC1023 = 0x406c,
    E1000_PRC1522 = 0x4070,
    E1000_GPRC = 0x4074,
    E1000_BPRC = 0x4078,
    E1000_MPRC = 0x407c,
    E1000_GPTC = 0x4080,
    E1000_GORCL = 0x4088,
    E1000_GORCH = 0x408c,
    E1000_GOTCL = 0x4090,
    E1000_GOTCH = 0x4094,
    E1000_RNBC = 0x40a0,
    E1000_RUC = 0x40a4,
    E1000_RFC = 0x40a8,
    E1000_ROC = 0x40ac,
    E1000_RJC = 0x40b0,
    E1000_MGTPRC = 0x40b4,
    E1000_MGTPDC = 0x40b8,
    E1000_MGTPTC = 0x40bc,
    E1000_TORL = 0x40c0,
    E1000_TORH = 0x40c4,
    E1000_TOTL = 0x40c8,
    E1000_TOTH = 0x40cc,
    E1000_TPR = 0x40d0,
    E1000_TPT = 0x40d4,
    E1000_PTC64 = 0x40d8,
    E1000_PTC127 = 0x40dc,
    E1000_PTC255 = 0x40e0,
    E1000_PTC511 = 0x40e4,
    E1000_PTC1023 = 0x40e8,
    E1000_PTC1522 = 0x40ec,
    E1000_MPTC = 0x40f0,
    E1000_BPTC = 0x40f4,
    E1000_TSCTC = 0x40f8,
    E1000_TSCTFC = 0x40fc,
};

/* Wake-up and management (13.6) */
enum {
    E1000_WUC = 0x5800,
    E1000_WUC_APME = 1 << 0,
    E1000_WUC_PME_EN = 1 << 1,
    E1000_WUC_PME_STATUS = 1 << 2,
    E1000_WUC_APMPME = 1 << 3,
    E1000_WUFC = 0x5808, /* what wakes; WUS: what has, in the same bits */
    E1000_WUFC_LNKC = 1 << 0,
    E1000_WUFC_MAG = 1 << 1,
    E1000_WUFC_EX = 1 << 2,
    E1000_WUFC_MC = 1 << 3,
    E1000_WUFC_BC = 1 << 4,
    E1000_WUFC_ARP = 1 << 5,
    E1000_WUFC_IPV4 = 1 << 6,
    E1000_WUFC_IPV6 = 1 << 7,
    E1000_WUFC_FLX_SHIFT = 16,
    E1000_WUFC_ALL = 0x000f00ff,
    E1000_WUS = 0x5810,
    E1000_MANC = 0x5820,
    E1000_IPAV = 0x5838,
    E1000_IPAV_V60_SHIFT = 16,
    /* Tables whose entries are eight bytes apart, the upper four reserved. */
    E1000_IP4AT = 0x5840,
    E1000_IP4AT_ENTRIES = 4,
    E1000_IP6AT = 0x5880,
    E1000_WUPL = 0x5900,
    E1000_WUPL_MAX = 2047,
    E1000_WUPM = 0x5a00, /* the beginning of the packet that woke */
    E1000_WUPM_BYTES = 128,
    E1000_FFLT = 0x5f00, /* a length for each flexible filter */
    E1000_FLEX_FILTERS = 4,
    E1000_FFMT = 0x9000, /* for each byte of a packet: a mask bit for each filter */
    E1000_FFVT = 0x9800, /* ... a value for each */
    E1000_FLEX_BYTES = 128,
};

/* Packet buffer memory (13.8.11) */
enum {
    E1000_PBM = 0x10000,
    E1000_PBM_WORDS = 0x4000,
};

/* I/O BAR (13.2.2): a window on the registers */
enum {
    E1000_IOADDR = 0x00,
    E1000_IOADDR_MASK = 0xffffc,
    E1000_IODATA = 0x04,
    E1000_IO_SIZE = 64,
    E1000_MMIO_SIZE = 128 * 1024,
};

/* Receive descriptor (3.2.3):
 *
 *      63            48 47   40 39   32 31           16 15            0
 *   0  buffer address
 *   8  special         errors  status  packet checksum length           */
enum {
    E1000_RXD_STAT_DD = 1 << 0,
    E1000_RXD_STAT_EOP = 1 << 1,
    E1000_RXD_STAT_IXSM = 1 << 2,
    E1000_RXD_STAT_VP = 1 << 3,
    E1000_RXD_STAT_TCPCS = 1 << 5,
    E1000_RXD_STAT_IPCS = 1 << 6,
    E1000_RXD_STAT_PIF = 1 << 7,
    E1000_RXD_ERR_TCPE = 1 << 5,
    E1000_RXD_ERR_IPE = 1 << 6,
    E1000_DESC_SIZE = 16,
};

/* Transmit descriptors (3.3.3 legacy, 3.3.6 context, 3.3.7 data): the second quadword of each.
 *
 *            63    48 47  40 39  36 35 32 31   24 23  20 19  16 15        0
 *   legacy   special  CSS    rsv    STA   CMD     CSO           length
 *   data     special  POPTS  rsv    STA   DCMD    DTYP   length (20 bits)
 *   context  MSS      HDRLEN rsv    STA   TUCMD   DTYP   PAYLEN (20 bits)   */
enum {
    E1000_TXD_CMD_EOP = 1 << 0,
    E1000_TXD_CMD_IFCS = 1 << 1,
    E1000_TXD_CMD_IC = 1 << 2,  /* legacy: insert checksum */
    E1000_TXD_CMD_TSE = 1 << 2, /* extended: segment */
    E1000_TXD_CMD_RS = 1 << 3,
    E1000_TXD_CMD_DEXT = 1 << 5,
    E1000_TXD_CMD_VLE = 1 << 6,
    E1000_TXD_CMD_IDE = 1 << 7,
    E1000_TXD_TUCMD_TCP = 1 << 0,
    E1000_TXD_TUCMD_IP = 1 << 1, /* IPv4, else IPv6 */
    E1000_TXD_TUCMD_TSE = 1 << 2,
    E1000_TXD_DTYP_CONTEXT = 0,
    E1000_TXD_DTYP_DATA = 1,
    E1000_TXD_STAT_DD = 1 << 0,
    E1000_TXD_POPTS_IXSM = 1 << 0,
    E1000_TXD_POPTS_TXSM = 1 << 1,
};

/* The PHY, a Marvell 88E1011 (8.6 "PHY registers"; the first sixteen are IEEE 802.3 clause 22's).
 */
enum {
    E1000_PHY_ADDRESS = 1,
    PHY_CTRL = 0,
    PHY_CTRL_SPEED_MSB = 1 << 6,
    PHY_CTRL_FD = 1 << 8,
    PHY_CTRL_RESTART_AN = 1 << 9, /* clears itself */
    PHY_CTRL_POWER_DOWN = 1 << 11,
    PHY_CTRL_AN_ENABLE = 1 << 12,
    PHY_CTRL_SPEED_LSB = 1 << 13,
    PHY_CTRL_LOOPBACK = 1 << 14,
    PHY_CTRL_RESET = 1 << 15, /* clears itself */
    PHY_STATUS = 1,
    PHY_STATUS_LINK = 1 << 2, /* latches low until read */
    PHY_STATUS_AN_COMPLETE = 1 << 5,
    PHY_ID1 = 2,
    PHY_ID2 = 3,
    PHY_AN_ADV = 4,
    PHY_AN_ADV_10_HD = 1 << 5,
    PHY_AN_ADV_10_FD = 1 << 6,
    PHY_AN_ADV_100_HD = 1 << 7,
    PHY_AN_ADV_100_FD = 1 << 8,
    PHY_LP_ABILITY = 5,
    PHY_AN_EXP = 6,
    PHY_AN_NEXT_PAGE = 7,
    PHY_1000T_CTRL = 9,
    PHY_1000T_CTRL_HD = 1 << 8,
    PHY_1000T_CTRL_FD = 1 << 9,
    PHY_1000T_STATUS = 10,
    PHY_EXT_STATUS = 15,
    PHY_SPEC_CTRL = 16,
    PHY_SPEC_STATUS = 17,
    PHY_SPEC_STATUS_LINK = 1 << 10,
    PHY_SPEC_STATUS_RESOLVED = 1 << 11,
    PHY_SPEC_STATUS_FD = 1 << 13,
    PHY_SPEC_STATUS_SPEED_SHIFT = 14,
    PHY_INT_ENABLE = 18,
    PHY_INT_STATUS = 19, /* cleared by reading */
    PHY_INT_LINK_CHANGED = 1 << 10,
    PHY_INT_AN_COMPLETE = 1 << 11,
    PHY_EXT_SPEC_CTRL = 20,
    PHY_RX_ERRORS = 21,
    PHY_LED_CTRL = 24,
    PHY_PAGE = 29,
    PHY_PAGE_DATA = 30,
    PHY_REGISTERS = 32,
};
