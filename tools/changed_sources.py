#!/usr/bin/env python3
"""Prints the .cc files of src/ that changed since a commit, or that include a header that did. Usage: changed_sources.py COMMIT"""
# SPDX-License-Identifier: Apache-2.0
import pathlib
import re
import subprocess
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def git(*words: str) -> list[str]:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.splitlines()


def main() -> None:
    changed = set(git("diff", "--name-only", sys.argv[1], "--", "src")) | set(git("ls-files", "--others", "--exclude-standard", "src"))
    files = {path.as_posix(): path for path in pathlib.Path("src").rglob("*") if path.suffix in (".h", ".cc")}
    included_by: dict[str, set[str]] = {}
    for name, path in files.items():
        for target in INCLUDE.findall(path.read_text(encoding="utf-8")):
            included_by.setdefault("src/" + target, set()).add(name)
    reached, waiting = set(), list(changed)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(included_by.get(name, ()))
    print("\n".join(sorted(name for name in reached if name in files and name.endswith(".cc"))))


if __name__ == "__main__":
    main()
