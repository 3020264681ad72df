"""Flat views: bench_mem, a program of its own."""
import os
import sys

from .measure import run


def main(setup):
    result = run([os.path.join(setup.build, "bench_mem")], 300, (0,))
    for _, line in result.lines:
        if line:
            print("  " + line)
    sys.stdout.flush()
    return {"text": result.text()}
