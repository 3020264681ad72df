/* Scripting: the Lua universe with all bindings, and the program that is run in it.
 *
 * src/script is the only folder that knows Lua. Everything here needs the machine lock. */
#pragma once

#include "base/error.h"
#include "loop/loop.h"

struct script;

struct script_config {
    struct loop *loop;
    const char *const
        *lua_dirs; /* where lua/perilune and machines/ are, best first; NULL-terminated */
};

struct script *script_new(const struct script_config *config, struct error *err);

/* Ends and frees the machines that scripts have left. NULL is allowed. */
void script_free(struct script *s);

/* Run the command line, which is written in Lua (perilune/cli.lua). Returns the exit status. */
int script_main(struct script *s, int argc, char **argv);
