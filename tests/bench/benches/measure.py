"""Run programs and time them; medians and tables.

Nothing here judges a number: a run that does not do its work is a Failure, a slow one is not.
"""
import os
import resource
import selectors
import signal
import statistics
import subprocess
import time


class Failure(Exception):
    """A run that did not do what it is measured for."""


class Run:
    """One run of a program: exit status, seconds by the wall and of processors, (time, line) of its
    output."""

    def __init__(self, status, wall, cpu, lines, first_byte, start=None):
        self.status = status
        self.start = start  # by time.monotonic()
        self.wall = wall
        self.cpu = cpu
        self.lines = lines
        self.first_byte = first_byte

    def text(self):
        return "\n".join(line for _, line in self.lines)

    def time_of(self, start):
        """Seconds from the start of the process to the line that begins so."""
        for at, line in self.lines:
            if line.startswith(start):
                return at, line
        raise Failure(f"no line “{start}…” on the console; it ends with:\n{self.tail()}")

    def tail(self):
        return "\n".join("    " + line for _, line in self.lines[-8:]) or "    (nothing)"


def children_cpu():
    """Processor seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command, timeout, expect):
    """Run to the end and expect one of these statuses. Output lines are stamped as they come in."""
    start, cpu_before = time.monotonic(), children_cpu()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    lines, rest, first_byte = [], b"", None
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                left = start + timeout - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise Failure(f"still running after {timeout} s: {' '.join(command)}\n"
                                  + Run(None, timeout, 0, lines, None).tail())
                data = os.read(process.stdout.fileno(), 65536)
                at = time.monotonic() - start
                if not data:
                    break
                first_byte = first_byte or at
                *whole, rest = (rest + data).split(b"\n")
                lines += [(at, line.decode("utf-8", "replace").strip("\r")) for line in whole]
        status = process.wait(timeout=30)
        wall = time.monotonic() - start
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
    lines.append((wall, rest.decode("utf-8", "replace")))
    result = Run(status, wall, children_cpu() - cpu_before, lines, first_byte, start)
    if status not in expect:
        raise Failure(f"exit status {status}: {' '.join(command)}\n{result.tail()}")
    return result


class Sample:
    """Several measurements of one thing."""

    def __init__(self, values):
        self.values = list(values)

    @property
    def median(self):
        return statistics.median(self.values)

    def show(self, form="{:.2f}"):
        text = form.format(self.median)
        if len(self.values) == 1:
            return text
        low, high = (form.format(f(self.values)).strip() for f in (min, max))
        return f"{text} ({low}–{high})"

    def data(self):
        return {"median": self.median, "min": min(self.values), "max": max(self.values),
                "runs": len(self.values)}


def show(sample, form="{:.2f}"):
    """A Sample that may be missing."""
    return sample.show(form) if sample else "–"


def ratio(ours, theirs):
    """How many times ours is of theirs, both Samples; a dash without the other."""
    if theirs is None or theirs.median == 0:
        return "–"
    return f"{ours.median / theirs.median:.2f}"


def table(head, rows):
    """Print rows of strings under a head; the first column is text, the others are numbers."""
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
    for row in [head] + rows:
        print("  " + "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(row, widths))).rstrip())
