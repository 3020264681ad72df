/* The interval timer as tests of it see it; other chips use its interface "interval-timer". */
#pragma once

#include "dev/device.h"
#include "dev/interval_timer.h"

enum { I8254_CHANNELS = 3, I8254_HZ = INTERVAL_TIMER_HZ };

/* `pit` is an "isa-pit". */
void i8254_set_gate(struct device *pit, unsigned channel, bool level);
bool i8254_gate(struct device *pit, unsigned channel);
bool i8254_out(struct device *pit, unsigned channel); /* the OUT pin now */
uint64_t i8254_ticks(struct device *pit); /* of its 1.193182 MHz clock, since virtual time 0 */
