#!/usr/bin/env python3
"""docs/perilune.1 has every option of `perilune --help` and `perilune test --help`, and no other:
manual.py TOP PERILUNE."""
import pathlib
import re
import subprocess
import sys

top, program = pathlib.Path(sys.argv[1]), sys.argv[2]


def shown(*arguments):
    """The options that a --help lists: lines "  --name, -n ARG"."""
    text = subprocess.run([program, *arguments], check=True, capture_output=True, text=True, timeout=60).stdout
    options = set()
    for line in re.findall(r"^  (-{1,2}[a-zA-Z].*)$", text, re.MULTILINE):
        options.update(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", line.split("  ")[0]))
    return options


def written(text):
    """The options that have an entry: the line after .TP."""
    options = set()
    for line in re.findall(r"^\.TP\n(.*)$", text, re.MULTILINE):
        plain = re.sub(r"\\f.", " ", line.replace("\\-", "-").replace('"', " "))
        options.update(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", plain))
    return options


page = (top / "docs" / "perilune.1").read_text()
wanted = shown("--help") | shown("test", "--help")
there = written(page)
for option in sorted(wanted - there):
    print(f"docs/perilune.1 lacks {option}, which --help has")
for option in sorted(there - wanted):
    print(f"docs/perilune.1 has {option}, which --help lacks")
if not wanted or not there:
    print("no options were found: has the form of --help or of the page changed?")
    sys.exit(1)
sys.exit(bool(wanted ^ there))
