/* The steps of unwinding, one method each. Private to this folder. */
#pragma once

#include "debug/unwind.h"

enum unwind_step {
    UNWIND_STEP_OK,
    UNWIND_STEP_USER, /* the next frame is user code: told, and the last */
    UNWIND_STEP_BOTTOM,
    UNWIND_STEP_MEMORY,
    UNWIND_STEP_LOST,
};

/* Each fills *next, which is zeroed, from the frame `f`; after OK and USER at least RIP and RSP are
 * known. */
enum unwind_step unwind_step_orc(const struct unwind_config *c, const struct unwind_frame *f,
                                 const struct orc_entry *e, struct unwind_frame *next);
enum unwind_step unwind_step_cfi(const struct unwind_config *c, const struct unwind_program *p,
                                 const struct unwind_frame *f, struct unwind_frame *next);
