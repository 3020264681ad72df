/* The fields of the states that chips exchange, by name, for scripts. */
#include "dev/chip_state.h"

/* clang-format off */
#define U8(PREFIX, AT, TYPE, FIELD)                                                                \
    { PREFIX "." #FIELD, STATE_KIND_U8, (AT) + offsetof(TYPE, FIELD), 1 }

#define PIC(PREFIX, N, FIELD)                                                                      \
    U8(PREFIX, (N) * sizeof(struct kvm_pic_state), struct kvm_pic_state, FIELD)
#define PIC_CHIP(PREFIX, N)                                                                        \
    PIC(PREFIX, N, last_irr), PIC(PREFIX, N, irr), PIC(PREFIX, N, imr), PIC(PREFIX, N, isr),       \
    PIC(PREFIX, N, priority_add), PIC(PREFIX, N, irq_base), PIC(PREFIX, N, read_reg_select),       \
    PIC(PREFIX, N, poll), PIC(PREFIX, N, special_mask), PIC(PREFIX, N, init_state),                \
    PIC(PREFIX, N, auto_eoi), PIC(PREFIX, N, rotate_on_auto_eoi),                                  \
    PIC(PREFIX, N, special_fully_nested_mode), PIC(PREFIX, N, init4), PIC(PREFIX, N, elcr),        \
    PIC(PREFIX, N, elcr_mask)

#define CHANNEL_AT(N, FIELD) offsetof(struct kvm_pit_state2, channels[N].FIELD)
#define CHANNEL_U8(N, PREFIX, FIELD) { PREFIX "." #FIELD, STATE_KIND_U8, CHANNEL_AT(N, FIELD), 1 }
#define CHANNEL(N, PREFIX)                                                                         \
    { PREFIX ".count", STATE_KIND_U32, CHANNEL_AT(N, count), 1 },                                  \
    { PREFIX ".latched_count", STATE_KIND_U16, CHANNEL_AT(N, latched_count), 1 },                  \
    CHANNEL_U8(N, PREFIX, count_latched), CHANNEL_U8(N, PREFIX, status_latched),                   \
    CHANNEL_U8(N, PREFIX, status), CHANNEL_U8(N, PREFIX, read_state),                              \
    CHANNEL_U8(N, PREFIX, write_state), CHANNEL_U8(N, PREFIX, write_latch),                        \
    CHANNEL_U8(N, PREFIX, rw_mode), CHANNEL_U8(N, PREFIX, mode), CHANNEL_U8(N, PREFIX, bcd),       \
    CHANNEL_U8(N, PREFIX, gate),                                                                   \
    { PREFIX ".count_load_time", STATE_KIND_I64, CHANNEL_AT(N, count_load_time), 1 }
/* clang-format on */

const struct state_field chip_state_pic[] = {
    PIC_CHIP("master", 0),
    PIC_CHIP("slave", 1),
    STATE_END,
};

const struct state_field chip_state_ioapic[] = {
    STATE_U64(struct kvm_ioapic_state, base_address),
    STATE_U32(struct kvm_ioapic_state, ioregsel),
    STATE_U32(struct kvm_ioapic_state, id),
    STATE_U32(struct kvm_ioapic_state, irr),
    STATE_ARRAY(STATE_KIND_U64, struct kvm_ioapic_state, redirtbl),
    STATE_END,
};

const struct state_field chip_state_pit[] = {
    CHANNEL(0, "channels.1"),
    CHANNEL(1, "channels.2"),
    CHANNEL(2, "channels.3"),
    STATE_U32(struct kvm_pit_state2, flags),
    STATE_END,
};
