/* A plugin for QEMU's TCG that counts the guest's instructions: writes lines of "SECONDS N" to the
 * file given as out=, a hundred times a second, with the time of CLOCK_MONOTONIC. Debian packages
 * no qemu-plugin.h, so what is used of version 1 of its interface (QEMU's
 * docs/devel/tcg-plugins.rst) is declared here. */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_info_t;

int qemu_plugin_version = 1;
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
enum { QEMU_PLUGIN_INLINE_ADD_U64 };
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *ptr,
                                              uint64_t imm);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv);

/* One vcpu. A block that an exception leaves early counts as a whole. */
static volatile uint64_t count;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, (void *)&count,
                                             qemu_plugin_tb_n_insns(tb));
}

static void *write_counts(void *opaque)
{
    FILE *out = opaque;
    for (;;) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        fprintf(out, "%lld.%09ld %" PRIu64 "\n", (long long)now.tv_sec, now.tv_nsec, count);
        fflush(out);
        usleep(10000);
    }
    return NULL;
}

__attribute__((visibility("default"))) int
qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    pthread_t thread;
    FILE *out = argc == 1 && !strncmp(argv[0], "out=", 4) ? fopen(argv[0] + 4, "w") : NULL;
    if (!out || pthread_create(&thread, NULL, write_counts, out))
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
