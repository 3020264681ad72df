/* What a script knows of the names in its guest: see docs/symbols.md. */
#pragma once

#include "debug/unwind.h"
#include "script/binding.h"
#include "vm/events.h"

/* The kernel's half of the addresses: neither programs nor a loader are there. */
#define KERNEL_HALF 0xffff800000000000ull

struct script_symbols {
    struct symbols *table;
    struct symbols_job *job; /* reads ahead, or NULL */
    char *refused;           /* path of a kernel of the machine's that had no symbols; NULL: none */
    /* The Linux kernel among the sources, if one was loaded. */
    bool has_kernel, placed; /* placed: it is known where it runs */
    bool by_hand;            /* a script has said where, for good */
    unsigned kernel;
    struct orc *orc; /* NULL: its image has none */
    uint64_t slide;  /* by KASLR */
    /* Until it is placed: writes of MSRs. */
    struct vm_event watch;
    bool watching;
    unsigned looks;
    /* Modules: when they come and go, while somebody asks for that. */
    struct vm_event module_watch[2];
    bool modules_refused;    /* they cannot be read, which has been said */
    struct orc **module_orc; /* read when first needed after a change */
    size_t module_orc_count;
    bool module_orc_read;
    /* Programs that can be unwound by DWARF: cfi, and the number of their source. */
    struct script_program {
        struct cfi *cfi;
        unsigned source;
    } * programs;
    size_t program_count, program_capacity;
};

/* The address of "name", "name+0x10" or a number in text. Without any symbols loaded, those of the
 * machine's own kernel are. Raises with the nearest known name. */
uint64_t script_symbol_address(lua_State *L, struct script_vm *svm, const char *text);

/* The same for hooks. *pending: a Linux kernel's, of which it is not known yet where it runs. */
bool script_symbol_resolve(struct script_vm *svm, const char *text, uint64_t *addr, bool *pending,
                           struct error *err);

/* Those of the machine's own kernel are loaded, when nothing else was. */
bool script_symbols_have(struct script_vm *svm, struct error *err);

/* ---- script_kernel.c ---- */

/* A kernel's symbols have been loaded: find where it runs, now or once it does. */
void script_kernel_loaded(struct script_vm *svm, unsigned source);
/* It runs so many bytes beyond where it is linked. */
void script_kernel_place(struct script_vm *svm, uint64_t slide);
/* Look for it in memory as `v` sees it. */
bool script_kernel_find(struct script_vm *svm, struct vcpu *v, struct error *err);
/* The machine was reset: where it runs next is another matter, and modules are gone. */
void script_kernel_reset(struct script_vm *svm);

/* ---- script_modules.c ---- */

/* Read which modules the running kernel has, as `v` sees them: their symbols are known from now on,
 * and hooks on them armed. */
bool script_modules_load(struct script_vm *svm, struct vcpu *v, struct error *err);
/* Do so by itself whenever one comes or goes, as long as that is `wanted` and the kernel is placed.
 */
void script_modules_watch(struct script_vm *svm, bool wanted);
/* Have their tables for unwinding at hand: s->module_orc. */
void script_modules_read_orc(struct script_vm *svm, struct vcpu *v);
/* They are gone, or others. */
void script_modules_forget_orc(struct script_symbols *s);
/* The module that `addr` is in; NULL: in none that is known. */
const char *script_symbols_module(const struct script_vm *svm, uint64_t addr);

void script_symbols_free(struct script_symbols *s); /* NULL is allowed */

int l_vm_load_symbols(lua_State *L);
int l_vm_prepare_symbols(lua_State *L);
int l_vm_find_slide(lua_State *L);
int l_vm_load_modules(lua_State *L);
int l_vm_symbol(lua_State *L);
int l_vm_symbol_lookup(lua_State *L);
int l_vm_symbolize(lua_State *L);
int l_vm_symbol_names(lua_State *L);
int l_cpu_disas(lua_State *L);
int l_cpu_backtrace(lua_State *L);

/* How many are loaded, and how far the kernel was moved. */
size_t script_symbols_count(const struct script_vm *svm);
uint64_t script_symbols_slide(const struct script_vm *svm);

/* vm.symbols */
int l_vm_symbols(lua_State *L);
void l_symbols_open(lua_State *L);
