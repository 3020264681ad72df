"""No mutable state of file scope: state.py OBJECT... reads the symbol tables of built objects.

docs/architecture.md ("Threads") says why the exceptions below are some.
"""
import re
import subprocess
import sys

# What a process has one of.
ALLOWED = {
    "log_state",
    "once",
    "soft_labels",
    "term",
}
TRACE = re.compile(r"^\w+_trace$")  # struct trace_table: which events are on
SYMBOL = re.compile(r"^[0-9a-f]+ .* O (\.t?(?:data|bss)\S*)\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)$")


def mutable(text):
    """Names of variables in sections that stay writable; .data.rel.ro is constant once loaded."""
    for line in text.splitlines():
        found = SYMBOL.match(line)
        if found and not found[1].startswith(".data.rel.ro"):
            yield re.sub(r"\.\d+$", "", found[2])


def main(objects):
    seen, wrong = set(), 0
    for path in objects:
        text = subprocess.run(["objdump", "-t", path], check=True, stdout=subprocess.PIPE,
                              text=True).stdout
        for name in mutable(text):
            seen.add(name)
            if name not in ALLOWED and not TRACE.match(name):
                print(f"{path}: {name} is mutable and of file scope: put it into the struct of what"
                      " it belongs to, or make it const")
                wrong += 1
    for name in sorted(ALLOWED - seen):
        print(f"state.py: {name} is not there any more: take it out of ALLOWED")
        wrong += 1
    print(f"{len(objects)} objects, {len(seen)} variables of file scope")
    return wrong > 0


sys.exit(main(sys.argv[1:]))
