#!/usr/bin/env python3
"""Corpus files, in which each line is an input as hexadecimal digits, from and to libFuzzer's folders.

    corpus.py unpack FILE FOLDER     a file for each input
    corpus.py pack FOLDER FILE       the inputs of FOLDER, shortest first

A line that begins with "#" tells of something that was found; it and the input below it stay when
the rest is replaced.
"""
import os
import sys


def lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="ascii") as f:
        return f.read().splitlines()


def unpack(path, folder):
    os.makedirs(folder, exist_ok=True)
    for number, line in enumerate(lines(path)):
        if not line.startswith("#"):
            with open(os.path.join(folder, str(number)), "wb") as f:
                f.write(bytes.fromhex(line))


def pack(folder, path):
    old, kept = lines(path), []
    for i, line in enumerate(old):
        if line.startswith("#") or (i and old[i - 1].startswith("#")):
            kept.append(line)
    inputs = set()
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            inputs.add(f.read().hex())
    rest = sorted(inputs - set(kept) - {""}, key=lambda s: (len(s), s))
    with open(path, "w", encoding="ascii") as f:
        f.writelines(line + "\n" for line in kept + rest)


{"unpack": unpack, "pack": pack}[sys.argv[1]](*sys.argv[2:4])
