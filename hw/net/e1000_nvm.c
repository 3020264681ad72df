/* The e1000's two companions: the 93C46 EEPROM and the 88E1011 PHY.
 *
 * 317453: 5 (EEPROM interface and map), 13.4.3 (EECD), 13.4.4 (EERD), 13.4.6 (MDIC), 8 and 13.4.7
 * (PHY). The EEPROM keeps what a guest writes until the machine goes; its checksum word is made to
 * fit once, at the start.
 *
 * The PHY negotiates with a partner that can do everything, in AUTONEG_NS of virtual time: shorter
 * than the second or two of real copper, long enough for drivers to see the link down first. */
#include "base/log.h"
#include "hw/net/e1000_internal.h"

#define AUTONEG_NS 100000000LL

/* ---- EEPROM ---- */

enum {
    NVM_INIT_CONTROL_3 = 0x24, /* of the first port */
    NVM_INIT_CONTROL_3_APM = 1 << 10,
    NVM_CHECKSUM_WORD = 63,
    NVM_CHECKSUM = 0xbaba,
    /* A command is a start bit, two bits of opcode and six of address. */
    NVM_COMMAND_BITS = 9,
    NVM_DATA_BITS = 16,
    NVM_OP_EXTENDED = 0, /* by the top two bits of the address */
    NVM_OP_WRITE = 1,
    NVM_OP_READ = 2,
    NVM_OP_ERASE = 3,
    NVM_EXT_DISABLE = 0,
    NVM_EXT_WRITE_ALL = 1,
    NVM_EXT_ERASE_ALL = 2,
    NVM_EXT_ENABLE = 3,
};

/* Words that drivers look at (5.6); the rest is 0. */
static const struct {
    uint8_t word;
    uint16_t value;
} nvm_map[] = {
    { 0x0a, 0x4403 }, /* initialization control 1: valid signature, load the ids, full duplex */
    { 0x0b, 0x1100 }, /* subsystem id, vendor */
    { 0x0c, 0x1af4 }, { 0x0d, 0x100e }, /* device id, vendor */
    { 0x0e, 0x8086 }, { 0x0f, 0x3040 }, /* initialization control 2: pause both ways, APM off */
};

void e1000_nvm_init(struct e1000 *s)
{
    uint16_t *words = s->nvm.words, sum = 0;
    for (unsigned i = 0; i < 3; i++)
        words[i] = ld_le16(s->mac + 2 * i);
    for (unsigned i = 0; i < ARRAY_LEN(nvm_map); i++)
        words[nvm_map[i].word] = nvm_map[i].value;
    for (unsigned i = 0; i < NVM_CHECKSUM_WORD; i++)
        sum += words[i];
    words[NVM_CHECKSUM_WORD] = NVM_CHECKSUM - sum;
}

static void nvm_idle(struct e1000_nvm *n)
{
    n->bits = n->out_bits = 0;
    n->shift_in = 0;
    n->reading = false;
    n->data_out = true; /* ready */
}

void e1000_nvm_reset(struct e1000 *s)
{
    s->nvm.clock = s->nvm.select = s->nvm.write_enabled = false;
    s->nvm.address = 0;
    s->nvm.shift_out = 0;
    nvm_idle(&s->nvm);
}

/* Nine bits are in: start, opcode, address. */
static void nvm_command(struct e1000_nvm *n)
{
    n->address = n->shift_in & (E1000_NVM_WORDS - 1);
    switch (n->shift_in >> 6 & 3) {
    case NVM_OP_READ:
        n->reading = true;
        n->shift_out = n->words[n->address];
        n->out_bits = NVM_DATA_BITS;
        n->data_out = false; /* a dummy 0 comes before the data */
        break;
    case NVM_OP_EXTENDED:
        if (n->address >> 4 == NVM_EXT_ENABLE || n->address >> 4 == NVM_EXT_DISABLE)
            n->write_enabled = n->address >> 4 == NVM_EXT_ENABLE;
        break;
    default: /* they act when the chip is deselected */
        break;
    }
}

static void nvm_shift_out(struct e1000_nvm *n)
{
    if (n->out_bits == 0) { /* reading goes on with the next word */
        n->address = (n->address + 1) % E1000_NVM_WORDS;
        n->shift_out = n->words[n->address];
        n->out_bits = NVM_DATA_BITS;
    }
    n->data_out = n->shift_out >> --n->out_bits & 1;
}

static void nvm_clock_in(struct e1000_nvm *n, bool data_in)
{
    if (n->reading) {
        nvm_shift_out(n);
        return;
    }
    if (n->bits == 0 && !data_in) /* not a start bit yet */
        return;
    if (n->bits == NVM_COMMAND_BITS + NVM_DATA_BITS)
        return;
    n->shift_in = n->shift_in << 1 | data_in;
    if (++n->bits == NVM_COMMAND_BITS)
        nvm_command(n);
}

static void nvm_fill(struct e1000_nvm *n, unsigned first, unsigned count, uint16_t value)
{
    for (unsigned i = 0; i < count; i++)
        n->words[first + i] = value;
}

/* Deselecting the chip starts the programming that a whole command has asked for. It takes no time
 * here. */
static void nvm_program(struct e1000_nvm *n)
{
    bool with_data = n->bits == NVM_COMMAND_BITS + NVM_DATA_BITS;
    unsigned command = with_data ? n->shift_in >> NVM_DATA_BITS : n->shift_in;
    unsigned op = command >> 6 & 3, extended = n->address >> 4;
    if (n->bits < NVM_COMMAND_BITS || !n->write_enabled)
        return;
    if (op == NVM_OP_WRITE && with_data)
        nvm_fill(n, n->address, 1, n->shift_in);
    else if (op == NVM_OP_ERASE)
        nvm_fill(n, n->address, 1, 0xffff);
    else if (op == NVM_OP_EXTENDED && extended == NVM_EXT_WRITE_ALL && with_data)
        nvm_fill(n, 0, E1000_NVM_WORDS, n->shift_in);
    else if (op == NVM_OP_EXTENDED && extended == NVM_EXT_ERASE_ALL)
        nvm_fill(n, 0, E1000_NVM_WORDS, 0xffff);
}

void e1000_nvm_load(struct e1000 *s)
{
    const uint16_t *words = s->nvm.words;
    uint32_t *ra = e1000_reg(s, E1000_RA), *wuc = e1000_reg(s, E1000_WUC);
    ra[0] = words[0] | (uint32_t)words[1] << 16;
    ra[1] = words[2] | E1000_RAH_AV;
    *wuc &= ~E1000_WUC_APME;
    if (words[NVM_INIT_CONTROL_3] & NVM_INIT_CONTROL_3_APM)
        *wuc |= E1000_WUC_APME;
}

/* There is no flash: nobody drives its output, and whoever asks for it gets it. */
uint32_t e1000_read_fla(void *opaque, unsigned index)
{
    uint32_t v = *e1000_reg(opaque, E1000_FLA) | E1000_FLA_SO;
    return v & E1000_FLA_REQ ? v | E1000_FLA_GNT : v;
}

uint32_t e1000_read_eecd(void *opaque, unsigned index)
{
    struct e1000 *s = opaque;
    uint32_t v = *e1000_reg(s, E1000_EECD) | E1000_EECD_PRES;
    if (v & E1000_EECD_REQ)
        v |= E1000_EECD_GNT;
    if (s->nvm.data_out)
        v |= E1000_EECD_DO;
    return v;
}

void e1000_write_eecd(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    struct e1000_nvm *n = &s->nvm;
    bool select = written & E1000_EECD_CS, clock = written & E1000_EECD_SK;

    if (n->select && !select && !n->reading)
        nvm_program(n);
    if (select != n->select)
        nvm_idle(n);
    else if (select && clock && !n->clock)
        nvm_clock_in(n, written & E1000_EECD_DI);
    n->select = select;
    n->clock = clock;
}

void e1000_write_eerd(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    unsigned address = written >> E1000_EERD_ADDR_SHIFT & 0xff;
    if (!(written & E1000_EERD_START))
        return;
    uint16_t data = address < E1000_NVM_WORDS ? s->nvm.words[address] : 0xffff;
    *e1000_reg(s, E1000_EERD) = (uint32_t)data << E1000_EERD_DATA_SHIFT |
                                address << E1000_EERD_ADDR_SHIFT | E1000_EERD_DONE;
}

/* ---- PHY ---- */

/* Reset values and writable bits; rows that are missing read 0. */
static const struct {
    uint16_t reset, wmask;
} phy_map[PHY_REGISTERS] = {
    [PHY_CTRL] = { 0x1140, 0x7dc0 },
    [PHY_STATUS] = { 0x7949, 0 },
    [PHY_ID1] = { 0x0141, 0 },
    [PHY_ID2] = { 0x0c20, 0 },
    [PHY_AN_ADV] = { 0x01e1, 0xbfff },
    [PHY_AN_EXP] = { 0x0004, 0 },
    [PHY_AN_NEXT_PAGE] = { 0x2001, 0xb7ff },
    [PHY_1000T_CTRL] = { 0x0f00, 0xff00 },
    [PHY_EXT_STATUS] = { 0x3000, 0 },
    [PHY_SPEC_CTRL] = { 0x0068, 0xfff7 },
    [PHY_INT_ENABLE] = { 0, 0xffff },
    [PHY_EXT_SPEC_CTRL] = { 0x0d60, 0xffff },
    [PHY_LED_CTRL] = { 0x4100, 0xffff },
    [PHY_PAGE] = { 0, 0xffff },
    [PHY_PAGE_DATA] = { 0, 0xffff },
};

/* What a partner that can do everything says of itself, and what comes of it. */
enum {
    PHY_PARTNER_ABILITY =
        0xcde1, /* next page, acknowledge, both pauses, 10 and 100 in both duplexes */
    PHY_PARTNER_1000T = 0x7c00, /* partner can do 1000 in both duplexes; both receivers are well */
};

static void phy_set_link(struct e1000 *s, bool link)
{
    if (s->phy_link && !link)
        s->phy_link_lost = true;
    if (s->phy_link != link)
        s->phy[PHY_INT_STATUS] |= PHY_INT_LINK_CHANGED;
    s->phy_link = link;
    e1000_update_link(s);
}

void e1000_phy_autoneg_done(void *opaque)
{
    struct e1000 *s = opaque;
    s->phy[PHY_STATUS] |= PHY_STATUS_AN_COMPLETE;
    s->phy[PHY_LP_ABILITY] = PHY_PARTNER_ABILITY;
    s->phy[PHY_1000T_STATUS] = PHY_PARTNER_1000T;
    s->phy[PHY_INT_STATUS] |= PHY_INT_AN_COMPLETE;
    phy_set_link(s, true);
}

/* Look for a link anew, as the control register and the wire have it now. */
static void phy_start(struct e1000 *s)
{
    timer_cancel(&s->autoneg);
    s->phy[PHY_STATUS] &= ~PHY_STATUS_AN_COMPLETE;
    s->phy[PHY_LP_ABILITY] = s->phy[PHY_1000T_STATUS] = 0;
    bool alive = e1000_wire_up(s) && !(s->phy[PHY_CTRL] & PHY_CTRL_POWER_DOWN);
    bool forced = !(s->phy[PHY_CTRL] & PHY_CTRL_AN_ENABLE);

    phy_set_link(s, alive && forced);
    if (!alive || forced)
        return;
    if (s->autonegotiation)
        timer_set(&s->autoneg, e1000_now(s) + AUTONEG_NS);
    else
        e1000_phy_autoneg_done(s);
}

void e1000_phy_reset(struct e1000 *s)
{
    for (unsigned i = 0; i < PHY_REGISTERS; i++)
        s->phy[i] = phy_map[i].reset;
    phy_start(s);
}

void e1000_phy_wire_changed(struct e1000 *s)
{
    phy_start(s);
}

unsigned e1000_phy_speed(const struct e1000 *s)
{
    uint16_t ctrl = s->phy[PHY_CTRL], adv = s->phy[PHY_AN_ADV];
    if (!(ctrl & PHY_CTRL_AN_ENABLE))
        return (ctrl & PHY_CTRL_SPEED_MSB ? 2 : 0) | (ctrl & PHY_CTRL_SPEED_LSB ? 1 : 0);
    if (s->phy[PHY_1000T_CTRL] & (PHY_1000T_CTRL_FD | PHY_1000T_CTRL_HD))
        return 2;
    return adv & (PHY_AN_ADV_100_FD | PHY_AN_ADV_100_HD) ? 1 : 0;
}

bool e1000_phy_full_duplex(const struct e1000 *s)
{
    if (!(s->phy[PHY_CTRL] & PHY_CTRL_AN_ENABLE))
        return s->phy[PHY_CTRL] & PHY_CTRL_FD;
    switch (e1000_phy_speed(s)) {
    case 2:
        return s->phy[PHY_1000T_CTRL] & PHY_1000T_CTRL_FD;
    case 1:
        return s->phy[PHY_AN_ADV] & PHY_AN_ADV_100_FD;
    default:
        return s->phy[PHY_AN_ADV] & PHY_AN_ADV_10_FD;
    }
}

static uint16_t phy_read(struct e1000 *s, unsigned reg)
{
    uint16_t v = s->phy[reg];
    switch (reg) {
    case PHY_STATUS:
        if (s->phy_link && !s->phy_link_lost)
            v |= PHY_STATUS_LINK;
        s->phy_link_lost = false;
        break;
    case PHY_SPEC_STATUS:
        if (s->phy_link)
            v |= e1000_phy_speed(s) << PHY_SPEC_STATUS_SPEED_SHIFT | PHY_SPEC_STATUS_RESOLVED |
                 PHY_SPEC_STATUS_LINK | (e1000_phy_full_duplex(s) ? PHY_SPEC_STATUS_FD : 0);
        break;
    case PHY_INT_STATUS:
        s->phy[reg] = 0;
        break;
    default:
        break;
    }
    return v;
}

static void phy_write_ctrl(struct e1000 *s, uint16_t old, uint16_t value)
{
    enum { MODE = PHY_CTRL_AN_ENABLE | PHY_CTRL_POWER_DOWN };
    if (value & PHY_CTRL_RESET) {
        /* A software reset keeps the written mode and applies it. */
        phy_start(s);
    } else if (value & PHY_CTRL_RESTART_AN || (old ^ value) & MODE) {
        phy_start(s);
    }
}

static void phy_write(struct e1000 *s, unsigned reg, uint16_t value)
{
    uint16_t old = s->phy[reg], wmask = phy_map[reg].wmask;
    s->phy[reg] = (old & ~wmask) | (value & wmask);
    if (reg == PHY_CTRL)
        phy_write_ctrl(s, old, value);
}

void e1000_write_mdic(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    unsigned reg = written >> E1000_MDIC_REG_SHIFT & (PHY_REGISTERS - 1);
    unsigned op = written >> E1000_MDIC_OP_SHIFT & 3;
    uint32_t result = (written & E1000_MDIC_KEPT) | E1000_MDIC_READY;

    if ((written >> E1000_MDIC_PHY_SHIFT & 31) != E1000_PHY_ADDRESS)
        result |= E1000_MDIC_ERROR;
    else if (op == E1000_MDIC_OP_READ)
        result = (result & ~0xffffu) | phy_read(s, reg);
    else if (op == E1000_MDIC_OP_WRITE)
        phy_write(s, reg, written);
    else
        result |= E1000_MDIC_ERROR;

    *e1000_reg(s, E1000_MDIC) = result;
    if (written & E1000_MDIC_INTERRUPT)
        e1000_raise(s, E1000_ICR_MDAC);
}
