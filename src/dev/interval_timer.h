/* Interface "interval-timer": what a speaker port needs of the timer whose channel it gates.
 *
 * Machine lock for everything. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct device;

enum { INTERVAL_TIMER_HZ = 1193182 };

#define INTERFACE_INTERVAL_TIMER "interval-timer"
struct interval_timer_ops {
    void (*set_gate)(struct device *d, unsigned channel, bool level);
    bool (*out)(struct device *d, unsigned channel); /* the OUT pin now */
    uint64_t (*ticks)(struct device *d);             /* of its clock, since virtual time 0 */
};
