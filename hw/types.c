/* The one explicit list of device types. Each device file defines one (or a family); no constructor
 * registers anything behind anybody's back. */
#include "hw/types.h"

#define HW_TYPES(TYPE)

#define DECLARE(type) extern const struct device_type type;
#define ENTRY(type)   &type,

HW_TYPES(DECLARE)

const struct device_type *const hw_types[] = { HW_TYPES(ENTRY) NULL };
