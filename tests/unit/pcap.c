/* The packet dump: read back byte by byte, and by tshark where it is installed. */
#include "net/backends.h"

#include "base/bits.h"
#include "base/log.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static int64_t test_now;

static int64_t now(void *opaque)
{
    (void)opaque;
    return test_now;
}

static void receive(struct net_port *p, const uint8_t *frame, size_t len)
{
    (void)p;
    (void)frame;
    (void)len;
}

static const struct net_port_ops ops = { .kind = "nic", .receive = receive };

/* An ARP request from 10.0.2.15 for 10.0.2.2. */
static const uint8_t arp[42] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0,    0x12, 0x34, 0x56, 8,    6, /* header */
    0,    1,    8,    0,    6,    4,    0,    1,    0x52, 0x54, 0,    0x12, 0x34, 0x56,
    10,   0,    2,    15,   0,    0,    0,    0,    0,    0,    10,   0,    2,    2,
};

struct fixture {
    struct net *n;
    struct net_port a, b;
    struct net_link *l;
    struct clock clock;
    char path[64];
};

static void fixture_new(struct fixture *f)
{
    *f = (struct fixture){ .a.ops = &ops, .b.ops = &ops };
    strcpy(f->path, "/tmp/perilune-pcap-XXXXXX");
    int fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    f->n = net_new(NULL);
    assert_true(net_port_add(f->n, &f->a, "a", NULL));
    assert_true(net_port_add(f->n, &f->b, "b", NULL));
    f->l = net_link_new(f->n, &f->a, &f->b, NULL, NULL);
    clock_init(&f->clock, "virtual", now, NULL, NULL);
}

static void fixture_free(struct fixture *f)
{
    unlink(f->path);
    net_free(f->n);
    clock_fini(&f->clock);
}

static size_t slurp(const char *path, uint8_t *buf, size_t cap)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(buf, 1, cap, file);
    fclose(file);
    return n;
}

static void test_bytes(void **state)
{
    (void)state;
    struct fixture f;
    struct error err = { 0 };
    fixture_new(&f);
    int64_t epoch = 1700000000 * NS_PER_SECOND + 1;
    struct net_pcap *p = net_pcap_new(f.l, f.path, &f.clock, epoch, &err);
    assert_non_null(p);
    test_now = 999999999;
    net_port_send(&f.a, arp, sizeof arp);
    test_now = 5 * NS_PER_SECOND;
    net_port_send(&f.b, arp, 20);
    uint8_t buf[1024]; /* while the dump goes on */
    assert_int_equal(slurp(f.path, buf, sizeof buf), 24 + 16 + 42 + 16 + 20);
    assert_int_equal(ld_le32(buf), 0xa1b23c4d);
    assert_int_equal(ld_le16(buf + 4), 2);
    assert_int_equal(ld_le16(buf + 6), 4);
    assert_true(ld_le32(buf + 16) >= NET_FRAME_MAX);
    assert_int_equal(ld_le32(buf + 20), 1);
    const uint8_t *r = buf + 24;
    assert_int_equal(ld_le32(r), 1700000001);
    assert_int_equal(ld_le32(r + 4), 0);
    assert_int_equal(ld_le32(r + 8), 42);
    assert_int_equal(ld_le32(r + 12), 42);
    assert_memory_equal(r + 16, arp, 42);
    r += 16 + 42;
    assert_int_equal(ld_le32(r), 1700000005);
    assert_int_equal(ld_le32(r + 4), 1);
    assert_int_equal(ld_le32(r + 8), 20);
    net_pcap_free(p);
    net_port_send(&f.a, arp, sizeof arp); /* nobody listens any more */
    assert_int_equal(slurp(f.path, buf, sizeof buf), 24 + 16 + 42 + 16 + 20);
    fixture_free(&f);
}

static void test_link_goes_first(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    struct net_pcap *p = net_pcap_new(f.l, f.path, &f.clock, 0, NULL);
    net_link_free(f.l);
    net_pcap_free(p);
    fixture_free(&f);
}

static void test_failures(void **state)
{
    (void)state;
    struct fixture f;
    struct error err = { 0 };
    fixture_new(&f);
    assert_null(net_pcap_new(f.l, "/nonexistent/x.pcap", &f.clock, 0, &err));
    assert_int_equal(err.kind, ERROR_HOST);
    assert_non_null(strstr(err.text, "/nonexistent/x.pcap"));
    /* A full disk: the header cannot be written either. */
    if (access("/dev/full", W_OK) == 0) {
        assert_null(net_pcap_new(f.l, "/dev/full", &f.clock, 0, &err));
        assert_non_null(strstr(err.text, "No space"));
    } else {
        print_message("no /dev/full here: a full disk was not tried\n");
    }
    fixture_free(&f);
}

/* The file may not grow any more in the midst of a record: it ends with the last whole one, and
 * frames go on. */
static void test_full_while_dumping(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    struct net_pcap *p = net_pcap_new(f.l, f.path, &f.clock, 0, NULL);
    net_port_send(&f.a, arp, sizeof arp);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 24 + 58 + 30;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    net_port_send(&f.a, arp, sizeof arp);
    setrlimit(RLIMIT_FSIZE, &before);
    net_port_send(&f.a, arp, sizeof arp);
    uint8_t buf[1024];
    assert_int_equal(slurp(f.path, buf, sizeof buf), 24 + 58);
    assert_int_equal(net_link_stats(f.l, 0).frames, 3);
    net_pcap_free(p);
    fixture_free(&f);
}

static void test_tshark(void **state)
{
    (void)state;
    if (system("command -v tshark >/dev/null 2>&1") != 0) {
        print_message("tshark is not installed\n");
        skip();
    }
    struct fixture f;
    fixture_new(&f);
    test_now = 123456789;
    struct net_pcap *p = net_pcap_new(f.l, f.path, &f.clock, 1700000000 * NS_PER_SECOND, NULL);
    net_port_send(&f.a, arp, sizeof arp);
    char command[256], line[512] = "";
    snprintf(command, sizeof command,
             "timeout 60 tshark -r %s -T fields -e frame.time_epoch -e arp.dst.proto_ipv4 2>&1",
             f.path);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    bool found = false;
    while (fgets(line, sizeof line, out))
        found |= strstr(line, "1700000000.123456789") && strstr(line, "10.0.2.2");
    assert_int_equal(pclose(out), 0);
    assert_true(found);
    net_pcap_free(p);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),    cmocka_unit_test(test_link_goes_first),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_full_while_dumping),
        cmocka_unit_test(test_tshark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
