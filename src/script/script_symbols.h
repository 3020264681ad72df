/* What a script knows of the names in its guest: see docs/symbols.md. */
#pragma once

#include "script/binding.h"

struct script_symbols;

/* The address of "name", "name+0x10" or a number in text. Without any symbols loaded, those of the
 * machine's own kernel are. Raises with the nearest known name. */
uint64_t script_symbol_address(lua_State *L, struct script_vm *svm, const char *text);

void script_symbols_free(struct script_symbols *s); /* NULL is allowed */

int l_vm_load_symbols(lua_State *L);
int l_vm_find_slide(lua_State *L);
int l_vm_symbol(lua_State *L);
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
