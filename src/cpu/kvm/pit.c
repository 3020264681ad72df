/* kvm-pit: the 8254 interval timer in the kernel. Port 0x61 stays the machine's isa-pcspk.
 *
 * The kernel knows no way to stop it, nor to go on within a period: while the machine stands still
 * channel 0 has a mode that does not count, and then a single count goes on with what is left, and
 * a periodic one starts a new period. Its gates are kept here: the kernel's are only looked at by
 * its own port 0x61, which is not made. A gate that rises and has to start a count sets the whole
 * state, which starts a new period of channel 0, too. */
#include "cpu/kvm/irqchip.h"

#include "base/bits.h"
#include "base/log.h"
#include "dev/chip_state.h"
#include "dev/interval_timer.h"
#include "dev/isa.h"
#include "dev/state.h"
#include "loop/loop.h"

#include <errno.h>
#include <string.h>

enum { CHANNELS = 3, NOT_COUNTING = 0xff, COUNT_MAX = 0x10000 };

struct kvm_pit {
    struct isa_device isa;
    struct region io;
    struct kvm_chips *chips;
    struct irq *out;
    bool gate[CHANNELS];
    struct kvm_pit_state2 state; /* as last fetched; while time stands still, what is to be set */
    int64_t stop_ns;
    int64_t over[CHANNELS]; /* count_load_time of a single count that had ended before a stop */
};

static bool stopped(const struct kvm_pit *s)
{
    return s->chips->accel->stopped;
}

static void pit_fetch(struct device *d)
{
    struct kvm_pit *s = (struct kvm_pit *)d;

    if (!stopped(s) && kvm_ioctl(s->chips->accel->vm_fd, KVM_GET_PIT2, &s->state) < 0)
        log_host(LOG_ERROR, "kvm", "cannot read the interval timer: %s", strerror(errno));
    for (unsigned n = 0; n < CHANNELS; n++)
        s->state.channels[n].gate = s->gate[n];
}

static void pit_put(struct kvm_pit *s, struct kvm_pit_state2 *state)
{
    if (kvm_ioctl(s->chips->accel->vm_fd, KVM_SET_PIT2, state) < 0)
        log_host(LOG_ERROR, "kvm", "cannot set the interval timer: %s", strerror(errno));
}

/* ---- counts ---- */

/* From the loading of the count until `now`, in ticks. */
static int64_t elapsed(const struct kvm_pit_channel_state *c, int64_t now)
{
    int64_t ns = now - c->count_load_time;

    return ns < 0 ? 0 : (int64_t)((__int128)ns * INTERVAL_TIMER_HZ / NS_PER_SECOND);
}

static int64_t count_of(const struct kvm_pit_channel_state *c)
{
    return c->count ? c->count : COUNT_MAX;
}

static bool is_single(const struct kvm_pit_channel_state *c)
{
    return c->mode == 0 || c->mode == 1 || c->mode == 4 || c->mode == 5;
}

static bool pit_out(struct device *d, unsigned n)
{
    struct kvm_pit *s = (struct kvm_pit *)d;
    const struct kvm_pit_channel_state *c = &s->state.channels[n];

    pit_fetch(d);
    int64_t ticks = elapsed(c, stopped(s) ? s->stop_ns : loop_realtime_ns()), count = count_of(c);
    switch (c->mode) {
    case 0:
    case 1:
        return ticks >= count || s->over[n] == c->count_load_time;
    case 2:
        return !c->gate || ticks % count != count - 1;
    case 3:
        return !c->gate || ticks % count < (count + 1) / 2;
    default:
        return ticks != count;
    }
}

static void pit_set_gate(struct device *d, unsigned n, bool level)
{
    struct kvm_pit *s = (struct kvm_pit *)d;
    const struct kvm_pit_channel_state *c = &s->state.channels[n];
    bool rises = level && !s->gate[n];

    s->gate[n] = level;
    pit_fetch(d);
    if (rises && (c->mode == 2 || c->mode == 3 || c->mode == 1 || c->mode == 5) && !stopped(s))
        pit_put(s, &s->state);
}

static uint64_t pit_ticks(struct device *d)
{
    return (uint64_t)((__int128)clock_now(&d->machine->virtual) * INTERVAL_TIMER_HZ /
                      NS_PER_SECOND);
}

/* ---- time ---- */

void kvm_pit_stop(struct kvm_pit *s)
{
    struct kvm_pit_state2 still;

    s->chips->accel->stopped = false;
    pit_fetch(&s->isa.dev);
    s->chips->accel->stopped = true;
    s->stop_ns = loop_realtime_ns();
    still = s->state;
    still.channels[0].mode = NOT_COUNTING;
    pit_put(s, &still);
}

void kvm_pit_start(struct kvm_pit *s)
{
    bool over[CHANNELS];

    for (unsigned n = 0; n < CHANNELS; n++) {
        struct kvm_pit_channel_state *c = &s->state.channels[n];
        int64_t left = count_of(c) - elapsed(c, s->stop_ns);

        over[n] = is_single(c) && (left <= 0 || s->over[n] == c->count_load_time);
        if (is_single(c)) /* a count goes on below zero, around its whole range */
            c->count = (uint32_t)(left > 0 ? left : COUNT_MAX - -left % COUNT_MAX);
    }
    pit_put(s, &s->state);
    pit_fetch(&s->isa.dev);
    for (unsigned n = 0; n < CHANNELS; n++)
        s->over[n] = over[n] ? s->state.channels[n].count_load_time : 0;
}

/* ---- ports ---- */

static void refuse(struct kvm_pit *s)
{
    log_host(LOG_WARN, device_name(&s->isa.dev),
             "its ports are the guest's alone, as it is in the kernel; use irqchip=user");
}

static uint64_t pit_read(void *opaque, uint64_t offset, unsigned size)
{
    refuse(opaque);
    return 0xff;
}

static void pit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    refuse(opaque);
}

static const struct region_ops pit_ops = {
    .read = pit_read,
    .write = pit_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

/* ---- the device ---- */

static bool pit_init(struct device *d, struct error *err)
{
    struct kvm_pit *s = (struct kvm_pit *)d;

    region_init_io(&s->io, d->machine->mem, "kvm-pit", 4, &pit_ops, s);
    s->io.owner = d;
    device_init_gpio_out(d, "", &s->out, 1);
    return true;
}

static bool pit_realize(struct device *d, struct error *err)
{
    struct kvm_pit *s = (struct kvm_pit *)d;
    struct kvm_pit_config config = { .flags = 0 };

    s->chips = kvm_chips_of(d, false, err);
    if (!s->chips)
        return false;
    if (s->chips->pit)
        return error_set(err, "%s: there is %s already, and the kernel has one only",
                         device_name(d), device_name(&s->chips->pit->isa.dev));
    if (kvm_ioctl(s->chips->accel->vm_fd, KVM_CREATE_PIT2, &config) < 0 && errno != EEXIST)
        return error_set_host(err, errno, "%s: the kernel does not make it; use irqchip=user",
                              device_name(d));
    s->chips->pit = s;
    isa_map_ports(&s->isa, &s->io, 0x40);
    return true;
}

static void pit_unrealize(struct device *d)
{
    ((struct kvm_pit *)d)->chips->pit = NULL;
}

static void hide(struct device *chip, unsigned line)
{
    if (chip)
        device_gpio_in(chip, "", line, NULL)->unseen = KVM_UNSEEN_LINE;
}

/* As the machine's isa-pit: see there. */
static void pit_reset(struct device *d)
{
    struct kvm_pit *s = (struct kvm_pit *)d;

    memset(&s->state, 0, sizeof s->state);
    for (unsigned n = 0; n < CHANNELS; n++) {
        s->gate[n] = n != 2;
        s->over[n] = 0;
        s->state.channels[n] = (struct kvm_pit_channel_state){
            .count = COUNT_MAX, .mode = NOT_COUNTING, .rw_mode = 3, .gate = s->gate[n]
        };
    }
    if (!stopped(s))
        pit_put(s, &s->state);
    if (s->out)
        s->out->unseen = KVM_UNSEEN_LINE;
    hide(s->chips->pic, TIMER_PIC_LINE);
    hide(s->chips->ioapic, TIMER_IOAPIC_PIN);
}

static void pit_finalize(struct device *d)
{
    region_fini(&((struct kvm_pit *)d)->io);
}

/* clang-format off */
#define CHANNEL_FIELD(N, KIND, FIELD)                                                              \
    { "channels[" #N "]." #FIELD, KIND, offsetof(struct kvm_pit, state.channels[N].FIELD), 1 }
#define CHANNEL_STATE(N)                                                                           \
    CHANNEL_FIELD(N, STATE_KIND_U32, count), CHANNEL_FIELD(N, STATE_KIND_U16, latched_count),      \
    CHANNEL_FIELD(N, STATE_KIND_U8, count_latched),                                                \
    CHANNEL_FIELD(N, STATE_KIND_U8, status_latched), CHANNEL_FIELD(N, STATE_KIND_U8, status),      \
    CHANNEL_FIELD(N, STATE_KIND_U8, read_state), CHANNEL_FIELD(N, STATE_KIND_U8, write_state),     \
    CHANNEL_FIELD(N, STATE_KIND_U8, write_latch), CHANNEL_FIELD(N, STATE_KIND_U8, rw_mode),        \
    CHANNEL_FIELD(N, STATE_KIND_U8, mode), CHANNEL_FIELD(N, STATE_KIND_U8, bcd),                   \
    CHANNEL_FIELD(N, STATE_KIND_U8, gate), CHANNEL_FIELD(N, STATE_KIND_I64, count_load_time)
/* clang-format on */

static const struct state_field pit_state[] = {
    CHANNEL_STATE(0),
    CHANNEL_STATE(1),
    CHANNEL_STATE(2),
    STATE_END,
};

static const struct interval_timer_ops pit_timer_ops = {
    .set_gate = pit_set_gate,
    .out = pit_out,
    .ticks = pit_ticks,
};

static void pit_get_state(struct device *d, void *state)
{
    pit_fetch(d);
    *(struct kvm_pit_state2 *)state = ((struct kvm_pit *)d)->state;
}

/* While time stands still it is set when the machine goes on. */
static void pit_set_state(struct device *d, const void *state)
{
    struct kvm_pit *s = (struct kvm_pit *)d;
    int64_t now = loop_realtime_ns();

    s->state = *(const struct kvm_pit_state2 *)state;
    for (unsigned n = 0; n < CHANNELS; n++) {
        s->gate[n] = s->state.channels[n].gate;
        s->state.channels[n].count_load_time = stopped(s) ? s->stop_ns : now;
        s->over[n] = 0;
    }
    if (!stopped(s))
        pit_put(s, &s->state);
}

static const struct chip_state_ops pit_state_ops = {
    .size = sizeof(struct kvm_pit_state2),
    .fields = chip_state_pit,
    .get = pit_get_state,
    .set = pit_set_state,
};

static const struct interface pit_interfaces[] = {
    { INTERFACE_CHIP_STATE, &pit_state_ops },
    { INTERFACE_INTERVAL_TIMER, &pit_timer_ops },
    { NULL, NULL },
};

const struct device_type kvm_pit_type = {
    .name = "kvm-pit",
    .parent = "isa-device",
    .desc = "8254 interval timer in the host's kernel (accel=kvm, irqchip=kernel)",
    .instance_size = sizeof(struct kvm_pit),
    .state = pit_state,
    .interfaces = pit_interfaces,
    .init = pit_init,
    .realize = pit_realize,
    .unrealize = pit_unrealize,
    .reset = pit_reset,
    .fetch = pit_fetch,
    .finalize = pit_finalize,
};
