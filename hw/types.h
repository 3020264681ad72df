/* Every device type there is. */
#pragma once

#include "dev/device.h"

/* Ends with NULL. The one explicit list: a new device adds a line in types.c. */
extern const struct device_type *const hw_types[];

/* Every table of events, by number; NULL beyond the last. A device with events adds a line too. */
struct trace_table *hw_trace_table(size_t n);
