#!/usr/bin/env python3
"""Reads names of sources on standard input and prints the translation units of a build directory that hold them, the largest first.

With CMAKE_UNITY_BUILD a unit is a generated file that includes several sources; otherwise it is the source itself.
"""
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import sys


def sources_of(unit):
    """The sources of a unit: what a generated file includes, or the file itself."""
    if os.path.basename(unit).startswith("unity_"):
        with open(unit, encoding="utf-8") as text:
            return re.findall(r'^#include "(.*)"', text.read(), re.MULTILINE)
    return [unit]


def main():
    with open(os.path.join(sys.argv[1], "compile_commands.json"), encoding="utf-8") as text:
        units = {command["file"] for command in json.load(text)}
    wanted = {os.path.abspath(line.strip()) for line in sys.stdin}
    found = {unit: files for unit in units if not wanted.isdisjoint(files := sources_of(unit))}
    missing = wanted.difference(*found.values())
    if missing:
        sys.exit("No translation unit holds " + ", ".join(sorted(missing)) + ". Configure the build again.")
    for unit in sorted(found, key=lambda unit: sum(os.path.getsize(file) for file in found[unit]), reverse=True):
        print(unit)


if __name__ == "__main__":
    main()
