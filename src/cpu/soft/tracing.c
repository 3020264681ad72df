/* The declarations of the software CPU's events. */
#include "cpu/soft/tracing.h"

static const struct trace_event soft_events[] = {
    [SOFT_TRACE_EXCEPTION] = { "soft.exception",
                               "an exception is about to be delivered",
                               { { "vector", TRACE_DEC },
                                 { "error", TRACE_HEX },
                                 { "rip", TRACE_HEX },
                                 { "cr2", TRACE_HEX } } },
    [SOFT_TRACE_INTERRUPT] = { "soft.interrupt",
                               "an interrupt is about to be delivered",
                               { { "vector", TRACE_HEX }, { "rip", TRACE_HEX } } },
    [SOFT_TRACE_HALT] = { "soft.halt", "HLT", { { "interrupts", TRACE_BOOL } } },
    [SOFT_TRACE_MODE] = { "soft.mode",
                          "real or protected mode, paging, long mode",
                          { { "mode", TRACE_TEXT }, { "cr0", TRACE_HEX } } },
    [SOFT_TRACE_MSR_WRITE] = { "soft.msr_write",
                               "WRMSR",
                               { { "index", TRACE_HEX }, { "value", TRACE_HEX } } },
    [SOFT_TRACE_TLB_FLUSH] = { "soft.tlb_flush",
                               "all translations are forgotten",
                               { { "cr3", TRACE_HEX } } },
    [SOFT_TRACE_TLB_FLUSH_PAGE] = { "soft.tlb_flush_page",
                                    "the translation of one page is forgotten",
                                    { { "gva", TRACE_HEX } } },
    [SOFT_TRACE_CODE_DROPPED] = { "soft.code_dropped",
                                  "decoded code is dropped, because its memory is written",
                                  { { "ram_addr", TRACE_HEX }, { "size", TRACE_BYTES } } },
    [SOFT_TRACE_CODE_FLUSH] = { "soft.code_flush",
                                "all decoded code is dropped, because there is no room",
                                { { NULL } } },
};
struct trace_table soft_trace = TRACE_TABLE(soft_events);
