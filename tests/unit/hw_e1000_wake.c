/* The e1000's wake-up filters: what is reported in WUS, WUPL, WUPM and WUC. */
#include "hw_e1000_fixture.h"

#define BROADCAST "\xff\xff\xff\xff\xff\xff"
#define OTHER_MAC "\x52\x54\x00\x12\x34\x57"

/* Wake-up with one filter, nothing reported yet. */
static void arm(struct nic *n, uint32_t filters)
{
    nic_set(n, E1000_WUC, E1000_WUC_PME_EN | E1000_WUC_PME_STATUS);
    nic_set(n, E1000_WUFC, filters);
    nic_set(n, E1000_WUS, ~0u);
    assert_int_equal(nic_get(n, E1000_WUS), 0);
}

/* What WUS says after a frame, with all filters and then with each alone. */
static uint32_t wakes(struct nic *n, const uint8_t *f, size_t len)
{
    arm(n, E1000_WUFC_ALL & ~E1000_WUFC_LNKC);
    rx_send(n, f, len);
    uint32_t all = nic_get(n, E1000_WUS);
    assert_int_equal(!!(nic_get(n, E1000_WUC) & E1000_WUC_PME_STATUS), all != 0);
    for (unsigned bit = 1; bit < 20; bit++) {
        arm(n, 1u << bit);
        rx_send(n, f, len);
        assert_int_equal(nic_get(n, E1000_WUS), all & 1u << bit);
    }
    arm(n, 0);
    return all;
}

static struct nic *new_waking(void)
{
    struct nic *n = nic_new();
    for (unsigned i = 0; i < 4; i++) /* no packet is as long as that */
        nic_set(n, E1000_FFLT + 8 * i, 0x7ff);
    nic_set(n, E1000_RCTL, E1000_RCTL_BAM); /* asleep: receiving is off */
    return n;
}

static size_t build_magic(uint8_t *f, const char *to, unsigned ones, unsigned repeats)
{
    size_t at = 20;
    memset(f, 0, 300);
    memcpy(f, to, 6);
    memcpy(f + 6, "\x52\x55\x0a\x00\x02\x02\x08\x42", 8);
    for (unsigned i = 0; i < ones; i++)
        f[at++] = 0xff;
    for (unsigned i = 0; i < repeats; i++, at += 6)
        memcpy(f + at, OUR_MAC, 6);
    return at;
}

static void magic(void **state)
{
    struct nic *n = new_waking();
    uint8_t f[300];
    size_t len = build_magic(f, OUR_MAC, 6, 16);
    assert_int_equal(wakes(n, f, len), E1000_WUFC_MAG | E1000_WUFC_EX);
    len = build_magic(f, BROADCAST, 7, 16);
    assert_int_equal(wakes(n, f, len), E1000_WUFC_MAG | E1000_WUFC_BC);
    len = build_magic(f, BROADCAST, 5, 16);
    assert_int_equal(wakes(n, f, len), E1000_WUFC_BC);
    len = build_magic(f, BROADCAST, 6, 15);
    assert_int_equal(wakes(n, f, len), E1000_WUFC_BC);
    /* what the address filters refuse does not wake */
    len = build_magic(f, OTHER_MAC, 6, 16);
    assert_int_equal(wakes(n, f, len), 0);
    nic_set(n, E1000_RCTL, E1000_RCTL_UPE);
    assert_int_equal(wakes(n, f, len), E1000_WUFC_MAG);

    /* by APM, without filters; PME only when it is asked for */
    nic_set(n, E1000_WUC, E1000_WUC_APME);
    rx_send(n, f, len);
    assert_int_equal(nic_get(n, E1000_WUS), E1000_WUFC_MAG);
    assert_int_equal(nic_get(n, E1000_WUC), E1000_WUC_APME);
    nic_set(n, E1000_WUS, ~0u);
    nic_set(n, E1000_WUC, E1000_WUC_APME | E1000_WUC_APMPME);
    rx_send(n, f, len);
    assert_true(nic_get(n, E1000_WUC) & E1000_WUC_PME_STATUS);
    /* not enabled at all */
    nic_set(n, E1000_WUS, ~0u);
    nic_set(n, E1000_WUC, 0);
    nic_set(n, E1000_WUFC, ~0u);
    rx_send(n, f, len);
    assert_int_equal(nic_get(n, E1000_WUS), 0);
    nic_free(n);
}

static void addresses(void **state)
{
    struct nic *n = new_waking();
    uint8_t f[100];
    size_t len = build_ip4(f, 17, 20);
    assert_int_equal(wakes(n, f, len), E1000_WUFC_EX);
    nic_set(n, E1000_IP4AT + 8 * 3, 0x0202000a); /* 10.0.2.2 */
    assert_int_equal(wakes(n, f, len), E1000_WUFC_EX);
    nic_set(n, E1000_IPAV, 1 << 3);
    assert_int_equal(wakes(n, f, len), E1000_WUFC_EX | E1000_WUFC_IPV4);

    static const uint8_t arp[42] = BROADCAST "\x52\x55\x0a\x00\x02\x0f\x08\x06"
                                             "\x00\x01\x08\x00\x06\x04\x00\x01";
    memset(f, 0, sizeof f);
    memcpy(f, arp, sizeof arp);
    memcpy(f + 38, "\x0a\x00\x02\x02", 4);
    assert_int_equal(wakes(n, f, 60), E1000_WUFC_BC | E1000_WUFC_ARP);
    f[21] = 2; /* a reply */
    assert_int_equal(wakes(n, f, 60), E1000_WUFC_BC);

    memset(f, 0, sizeof f);
    memcpy(f, ETH_TO_US "\x86\xdd\x60", 15);
    memcpy(f + 38, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09", 16);
    nic_set(n, E1000_IP6AT, 0x000000fd);
    nic_set(n, E1000_IP6AT + 12, 0x09000000);
    assert_int_equal(wakes(n, f, 60), E1000_WUFC_EX);
    nic_set(n, E1000_IPAV, 1 << E1000_IPAV_V60_SHIFT);
    assert_int_equal(wakes(n, f, 60), E1000_WUFC_EX | E1000_WUFC_IPV6);

    memcpy(f, "\x01\x00\x5e\x00\x00\x01", 6);
    assert_int_equal(wakes(n, f, 60), 0);
    nic_set(n, E1000_MTA, 1u << 16); /* its hash is 0x010 */
    assert_int_equal(wakes(n, f, 60), E1000_WUFC_MC);
    nic_free(n);
}

static void flexible(void **state)
{
    struct nic *n = new_waking();
    uint8_t f[200] = ETH_TO_US;
    f[20] = 0xab;
    f[127] = 0xcd;
    for (unsigned filter = 0; filter < 4; filter += 3) {
        uint32_t flx = 1u << (E1000_WUFC_FLX_SHIFT + filter);
        nic_set(n, E1000_FFMT + 8 * 20, 1u << filter);
        nic_set(n, E1000_FFMT + 8 * 127, 1u << filter);
        nic_set(n, E1000_FFVT + 8 * 20, 0xabu << 8 * filter);
        nic_set(n, E1000_FFVT + 8 * 127, 0xcdu << 8 * filter);
        nic_set(n, E1000_FFLT + 8 * filter, 128);
        assert_int_equal(wakes(n, f, 128), E1000_WUFC_EX | flx);
        assert_int_equal(wakes(n, f, 127), E1000_WUFC_EX); /* too short */
        f[127] ^= 1;
        assert_int_equal(wakes(n, f, 200), E1000_WUFC_EX);
        nic_set(n, E1000_FFLT + 8 * filter, 127); /* the last byte does not count */
        assert_int_equal(wakes(n, f, 200), E1000_WUFC_EX | flx);
        f[127] ^= 1;
        nic_set(n, E1000_FFLT + 8 * filter, 0x7ff);
    }
    nic_free(n);
}

static void the_packet_is_kept(void **state)
{
    struct nic *n = new_waking();
    uint8_t f[200] = ETH_TO_US;
    for (unsigned i = 14; i < sizeof f; i++)
        f[i] = (uint8_t)i;
    arm(n, E1000_WUFC_EX);
    rx_send(n, f, 200);
    rx_send(n, (const uint8_t *)ETH_TO_US "\x08\x06", 14); /* later ones do not matter */
    assert_int_equal(nic_get(n, E1000_WUPL), 204);
    for (unsigned i = 0; i < E1000_WUPM_BYTES; i += 4)
        assert_int_equal(nic_get(n, E1000_WUPM + i), ld_le32(f + i));
    /* a driver that wakes resets the card before it looks */
    nic_set(n, E1000_CTRL, E1000_CTRL_RST);
    assert_int_equal(nic_get(n, E1000_WUS), E1000_WUFC_EX);
    assert_int_equal(nic_get(n, E1000_WUPL), 204);
    assert_int_equal(nic_get(n, E1000_WUC), E1000_WUC_PME_EN | E1000_WUC_PME_STATUS);
    nic_set(n, E1000_WUC, E1000_WUC_PME_STATUS);
    assert_int_equal(nic_get(n, E1000_WUC), 0);
    nic_free(n);
}

static void link_changes(void **state)
{
    struct nic *n = new_waking();
    arm(n, E1000_WUFC_EX);
    net_link_set_up(n->peer.link, false);
    assert_int_equal(nic_get(n, E1000_WUS), 0);
    arm(n, E1000_WUFC_LNKC);
    net_link_set_up(n->peer.link, true);
    nic_advance(n, NS_PER_SECOND);
    assert_int_equal(nic_get(n, E1000_WUS), E1000_WUFC_LNKC);
    assert_true(nic_get(n, E1000_WUC) & E1000_WUC_PME_STATUS);
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(magic),        cmocka_unit_test(addresses),
        cmocka_unit_test(flexible),     cmocka_unit_test(the_packet_is_kept),
        cmocka_unit_test(link_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
