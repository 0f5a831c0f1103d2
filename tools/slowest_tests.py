#!/usr/bin/env python3
"""Prints the ten slowest tests. Usage: slowest_tests.py FOLDER...; each holds JUnit files of GoogleTest, node --test or vitest."""
# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys
import xml.etree.ElementTree

SHOWN = 10


def cases(folder: pathlib.Path):
    """(seconds, where, name) of every test below the folder. A file that a killed runner left half written is skipped."""
    for path in sorted(folder.rglob("*.xml")):
        try:
            root = xml.etree.ElementTree.parse(path).getroot()
        except xml.etree.ElementTree.ParseError:
            continue
        where = folder.name if path.stem == folder.name else f"{folder.name} {path.stem}"
        for case in root.iter("testcase"):
            suite = case.get("classname", "")
            name = case.get("name", "")
            yield float(case.get("time", 0)), where, name if suite in ("", "test") else f"{suite}.{name}"


def main() -> None:
    slowest = sorted((case for folder in sys.argv[1:] for case in cases(pathlib.Path(folder))), reverse=True)[:SHOWN]
    for seconds, where, name in slowest:
        print(f"{seconds:8.1f} s  {where}  {name}")


if __name__ == "__main__":
    main()
