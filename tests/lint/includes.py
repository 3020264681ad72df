"""The dependency rule of docs/architecture.md, read off every #include "..." of src and hw.

    base <- loop <- trace <- mem <- dev <- {net, char} <- hw        dev <- cpu        {cpu, boot} <- debug
    {hw/types.h, net, char, cpu, boot, debug} <- vm <- script <- main
    boot stands on mem; soft and kvm never include each other
    only src/script includes Lua's headers
"""
import os
import re
import sys

TOP = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
LUA = {"lua.h", "lauxlib.h", "lualib.h", "luaconf.h", "luv.h", "luv/luv.h"}

# Folder: the folders below it that it may include. Each may include itself.
BELOW = {
    "base": set(),
    "loop": {"base"},
    "trace": {"base", "loop"},
    "mem": {"base", "loop", "trace"},
    "dev": {"base", "loop", "trace", "mem"},
    "net": {"base", "loop", "trace", "mem", "dev"},
    "char": {"base", "loop", "trace", "mem", "dev"},
    "hw": {"base", "loop", "trace", "mem", "dev", "net", "char"},
    "cpu": {"base", "loop", "trace", "mem", "dev"},
    "cpu/soft": {"base", "loop", "trace", "mem", "dev", "cpu"},
    "cpu/kvm": {"base", "loop", "trace", "mem", "dev", "cpu"},
    "boot": {"base", "loop", "trace", "mem"},
}
BELOW["debug"] = {"base", "loop", "trace", "mem", "dev", "cpu", "boot"}
BELOW["vm"] = {"base", "loop", "trace", "mem", "dev", "net", "char", "cpu", "boot", "debug"}
BELOW["script"] = BELOW["vm"] | {"vm"}
BELOW["main"] = BELOW["script"] | {"script"}

# Single headers beyond the folders.
ALSO = {
    "vm": {"hw/types.h"},
    "script": {"hw/types.h"},
}


def folder_of(path):
    """The folder of the rule that a file below src or hw is in."""
    parts = path.split("/")
    if parts[0] == "hw":
        return "hw"
    if parts[0] == "src":
        parts = parts[1:]
    if len(parts) == 1:
        return "main"
    two = "/".join(parts[:2])
    return two if two in BELOW else parts[0]


def resolve(path, name):
    """The header's path from the top, or None."""
    for base in ("src", "", os.path.dirname(path)):
        candidate = os.path.normpath(os.path.join(base, name))
        if os.path.exists(os.path.join(TOP, candidate)):
            return candidate
    return None


def problem_of(path, quote, name):
    """What is wrong with one include of one file, or None."""
    folder = folder_of(path)
    if name in LUA:
        return None if folder == "script" else "only src/script may include Lua"
    if quote == "<":
        return None
    header = resolve(path, name)
    if not header:
        return "there is no such header"
    if folder not in BELOW:
        return f"the rule does not know the folder of {path}: add it to {__file__}"
    target = folder_of(header)
    if target == folder or target in BELOW[folder] or name in ALSO.get(folder, ()):
        return None
    return f"{folder} may not include {target}"


def sources():
    for top in "src", "hw":
        for where, folders, files in os.walk(os.path.join(TOP, top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith((".c", ".h", ".inc")):
                    yield os.path.relpath(os.path.join(where, name), TOP)


def main():
    problems, files, includes = [], 0, 0
    for path in sources():
        files += 1
        with open(os.path.join(TOP, path), encoding="utf-8") as f:
            text = f.read()
        for match in INCLUDE.finditer(text):
            includes += 1
            problem = problem_of(path, match[1], match[2])
            if problem:
                line = text.count("\n", 0, match.start(2)) + 1
                problems.append(f'{path}:{line}: "{match[2]}": {problem}')
    for problem in problems:
        print(problem)
    print(f"{includes} includes in {files} files, {len(problems)} against the rule")
    return 1 if problems or not includes else 0


sys.exit(main())
