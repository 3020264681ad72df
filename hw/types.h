/* Every device type there is. */
#pragma once

#include "dev/device.h"

/* Ends with NULL. The one explicit list: a new device adds a line in types.c. */
extern const struct device_type *const hw_types[];
