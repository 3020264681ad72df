/* Disassembly through Zydis 4. */
#include "debug/disasm.h"

#include <Zycore/Format.h>
#include <Zydis/Zydis.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A formatter and, for its hook, what it formats for. */
struct printer {
    ZydisFormatter formatter;
    struct symbols *symbols;
    ZydisFormatterFunc print_number; /* Zydis' own, that the hook replaced */
};

/* An absolute address, of a branch or relative to RIP: the number, then its name. */
static ZyanStatus print_address(const ZydisFormatter *formatter, ZydisFormatterBuffer *buffer,
                                ZydisFormatterContext *context)
{
    const struct printer *p = context->user_data;
    ZyanU64 addr;
    ZyanString *text;
    char name[DISASM_TEXT_MAX];
    ZYAN_CHECK(p->print_number(formatter, buffer, context));
    ZYAN_CHECK(ZydisCalcAbsoluteAddress(context->instruction, context->operand,
                                        context->runtime_address, &addr));
    if (!p->symbols || !symbols_at(p->symbols, addr, NULL))
        return ZYAN_STATUS_SUCCESS;
    ZYAN_CHECK(ZydisFormatterBufferGetString(buffer, &text));
    return ZyanStringAppendFormat(text, " <%s>",
                                  symbols_format(p->symbols, addr, name, sizeof name));
}

static void printer_init(struct printer *p, struct symbols *symbols)
{
    p->symbols = symbols;
    p->print_number = print_address;
    bool ok =
        ZYAN_SUCCESS(ZydisFormatterInit(&p->formatter, ZYDIS_FORMATTER_STYLE_INTEL)) &&
        ZYAN_SUCCESS(ZydisFormatterSetProperty(
            &p->formatter, ZYDIS_FORMATTER_PROP_FORCE_RELATIVE_BRANCHES, ZYAN_FALSE)) &&
        ZYAN_SUCCESS(ZydisFormatterSetProperty(&p->formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE,
                                               ZYAN_FALSE)) &&
        ZYAN_SUCCESS(ZydisFormatterSetProperty(
            &p->formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_PADDING_DISABLED)) &&
        ZYAN_SUCCESS(ZydisFormatterSetHook(&p->formatter, ZYDIS_FORMATTER_FUNC_PRINT_ADDRESS_ABS,
                                           (const void **)&p->print_number));
    assert(ok);
    (void)ok;
}

static void decoder_init(ZydisDecoder *decoder, unsigned bits)
{
    ZydisMachineMode mode = bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                            : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                         : ZYDIS_MACHINE_MODE_LEGACY_16;
    ZydisStackWidth width = bits == 64   ? ZYDIS_STACK_WIDTH_64
                            : bits == 32 ? ZYDIS_STACK_WIDTH_32
                                         : ZYDIS_STACK_WIDTH_16;
    ZyanStatus status = ZydisDecoderInit(decoder, mode, width);
    assert(ZYAN_SUCCESS(status));
    (void)status;
}

unsigned disasm_one(const uint8_t *bytes, size_t len, uint64_t addr, unsigned bits,
                    struct symbols *symbols, char *out, size_t size)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    struct printer p;
    decoder_init(&decoder, bits);
    ZyanStatus status = ZydisDecoderDecodeFull(
        &decoder, bytes, len > DISASM_INSN_MAX ? DISASM_INSN_MAX : len, &insn, operands);
    if (!ZYAN_SUCCESS(status)) {
        bool cut = (status == ZYDIS_STATUS_NO_MORE_DATA || len == 0) && len < DISASM_INSN_MAX;
        snprintf(out, size, cut ? "(cut)" : "(bad)");
        return 0;
    }
    printer_init(&p, symbols);
    if (!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
            &p.formatter, &insn, operands, insn.operand_count_visible, out, size, addr, &p)))
        snprintf(out, size, "%s ...", ZydisMnemonicGetString(insn.mnemonic));
    return insn.length;
}

const char *disasm_version(char *text, size_t size)
{
    ZyanU64 v = ZydisGetVersion();
    snprintf(text, size, "%u.%u.%u", (unsigned)ZYDIS_VERSION_MAJOR(v),
             (unsigned)ZYDIS_VERSION_MINOR(v), (unsigned)ZYDIS_VERSION_PATCH(v));
    return text;
}
