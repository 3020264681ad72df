/* Events of the software CPU. None is fired per instruction: they cost nothing where it counts. */
#pragma once

#include "cpu/soft/soft_cpu.h"

enum {
    SOFT_TRACE_EXCEPTION,
    SOFT_TRACE_INTERRUPT,
    SOFT_TRACE_HALT,
    SOFT_TRACE_MODE,
    SOFT_TRACE_MSR_WRITE,
    SOFT_TRACE_SMM,
    SOFT_TRACE_TLB_FLUSH,
    SOFT_TRACE_TLB_FLUSH_PAGE,
    SOFT_TRACE_CODE_DROPPED,
    SOFT_TRACE_CODE_FLUSH,
};

static inline struct trace_source soft_source(const struct soft_cpu *c)
{
    return vcpu_source(&c->vcpu);
}
