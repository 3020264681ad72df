"""A campaign of faults on the bare machine: the same seed gives the same results whatever runs at
the same time, any run can be repeated, Ctrl-C ends it in order and --resume goes on."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

PROGRAM, EXAMPLE, WORK = sys.argv[1:4]
OUTCOMES = {"masked", "detected", "wrong output", "crash", "hang"}
SEED, RUNS = "4", 24  # has each outcome
LIMIT = 100


#: A program that never ends.
ENDLESS = """
local campaign = require "perilune.fault.campaign"
return campaign.main(arg, { { name = "endless", help = "", make = function()
    return { groups = {}, create = function()
        local vm = perilune.machine("minimal", { memory = "1M", serial = "ring" })
        vm:on_reset(function()
            vm.memory:write_bytes(0x1000, "\\xeb\\xfe")
            vm.cpus[1].cs, vm.cpus[1].cs_base, vm.cpus[1].rip = 0, 0, 0x1000
        end)
        vm:reset()
        io.stderr:write("made\\n")
        return vm
    end }
end } })
"""


def start(*args, script=EXAMPLE):
    return subprocess.Popen([PROGRAM, script, *args], cwd=WORK, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True)


def campaign(*args, status=0):
    with start(*args) as process:
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == status, f"{args}: status {process.returncode}\n{out}{err}"
        return out + err


def lines_of(name):
    with open(os.path.join(WORK, name + ".jsonl"), encoding="utf-8") as file:
        return file.read().splitlines(keepends=True)


def check_results(text, lines):
    header, runs = json.loads(lines[0]), [json.loads(line) for line in lines[1:]]
    assert header["seed"] == int(SEED) and header["golden"]["output"] == "bcicfblc", header
    assert [run["run"] for run in runs] == list(range(1, RUNS + 1))
    assert {run["outcome"] for run in runs} == OUTCOMES
    for run in runs:
        same = (run["output"], run["exit"], run["status"]) == ("bcicfblc", "debug-exit", 1)
        assert same == (run["outcome"] == "masked"), run
        assert (run["exit"] == "triple-fault") == (run["outcome"] == "crash"), run
        assert (run["instructions"] == 3 * header["golden"]["instructions"]) == (
            run["outcome"] == "hang"), run
        assert [entry["event"] for entry in run["log"]] == ["inject", "hit"], run
        hit = run["log"][1]
        assert bin(hit["before"] ^ hit["after"]).count("1") == 1, run
    row = next(line for line in text.splitlines() if line.startswith("| all"))
    crashes = sum(run["outcome"] == "crash" for run in runs)
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[2] == str(RUNS), row
    assert cells[6].startswith(f"{crashes}: {100 * crashes / RUNS:.0f} % ("), row


def check_picture(path, lines):
    tree = ElementTree.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert tree.tag == space + "svg"
    width = float(tree.get("width"))
    texts = [text.text for text in tree.iter(space + "text")]
    places = {json.loads(line)["place"] for line in lines[1:]}
    assert places | OUTCOMES | {"registers", "RAM", "runs"} <= set(texts), texts
    shown = 0
    for rect in tree.iter(space + "rect"):
        assert 0 <= float(rect.get("x")) <= float(rect.get("x")) + float(rect.get("width")) <= width
        title = rect.find(space + "title")
        shown += int(title.text.split(": ")[1].split()[0]) if title is not None else 0
    assert shown == RUNS, f"the picture has {shown} runs"


def interrupt():
    """Ctrl-C ends a campaign in order; what it has is kept."""
    process = start("--seed", SEED, "--out", "cut", "--jobs", "2")
    path, end = os.path.join(WORK, "cut.jsonl"), time.monotonic() + LIMIT
    while not os.path.exists(path) or len(lines_of("cut")) < 4:
        assert time.monotonic() < end and process.poll() is None, "nothing is written"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == -signal.SIGINT, process.returncode
    assert "--resume goes on" in err, err
    assert "cut.svg" not in os.listdir(WORK)
    return lines_of("cut")


def interrupt_endless():
    """Ctrl-C ends the processes too: all of them have standard error, which ends here."""
    path = os.path.join(WORK, "endless.lua")
    with open(path, "w", encoding="utf-8") as file:
        file.write(ENDLESS)
    process = start(script=path)
    try:
        assert process.stderr.readline() == "made\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGINT and "there are no results" in err, err
    assert os.listdir(WORK) == ["endless.lua"], os.listdir(WORK)


shutil.rmtree(WORK, ignore_errors=True)
os.makedirs(WORK)
interrupt_endless()
output = campaign("--seed", SEED, "--runs", str(RUNS), "--out", "first", "--jobs", "3")
first = lines_of("first")
check_results(output, first)
check_picture(os.path.join(WORK, "first.svg"), first)

assert campaign("--seed", SEED, "--run", "17") == first[17], "a run repeated"
assert campaign("--seed", SEED, "--run", "17", "--golden", "first.jsonl") == first[17]
assert campaign("--seed", "5", "--run", "17") != first[17], "another seed"

cut = interrupt()
shared = min(len(cut), len(first))
assert cut[:shared] == first[:shared], "an interrupted campaign has other lines"
with open(os.path.join(WORK, "cut.jsonl"), "w", encoding="utf-8") as results:
    results.write("".join(first[:19]) + first[19][:30])  # the last line was cut off
campaign("--seed", SEED, "--runs", str(RUNS), "--out", "cut", "--resume", "--jobs", "1")
assert lines_of("cut") == first, "a campaign that went on has other lines"

assert "--resume goes on" in campaign("--seed", SEED, "--out", "cut", status=2)
assert "seed 4, not bare with seed 5" in campaign("--seed", "5", "--out", "cut", "--resume",
                                                  status=2)
assert 'did you mean "--runs"?' in campaign("--rums", "5", status=2)
assert "--jobs must be an integer from 1 on, not 0" in campaign("--jobs", "0", status=2)
assert "--resume\n" in campaign("--help")
