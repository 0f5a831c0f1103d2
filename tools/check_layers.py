#!/usr/bin/env python3
"""Fails when a room of src/ includes a room it may not see, or a library outside its fence. Usage: check_layers.py ROOT"""
# SPDX-License-Identifier: Apache-2.0
import pathlib
import re
import sys

SEES = {
    "base": set(),
    "telemetry": {"base"},
    "net": {"base"},
    "store": {"telemetry", "base"},
    "receive": {"telemetry", "net", "store", "base"},
    "query": {"store", "telemetry", "base"},
    "remote": {"query", "net", "telemetry", "base"},
    "judge": {"base"},
    "explain": {"telemetry", "base"},
    "route": {"net", "base"},
    "rollout": {"query", "remote", "judge", "explain", "route", "store", "telemetry", "net", "base"},
    "serve": {"rollout", "query", "remote", "judge", "explain", "route", "store", "telemetry", "net", "base"},
    "cli": {"net", "base"},
}
SEES["app"] = set(SEES) | {"app"}

# A heavy or dangerous library, and the only files that may include it (path prefixes under src/).
FENCES = [
    (re.compile(r"^(boost/(asio|beast)|nghttp2|curl/)"), ("net/",)),
    (re.compile(r"^rocksdb/"), ("store/rocks_",)),
    (re.compile(r"^sqlite3"), ("rollout/",)),
    (re.compile(r"^(simdjson|protozero/)"), ("receive/", "app/")),
    (re.compile(r"^CLI/"), ("app/main.cc",)),
    (re.compile(r"^yaml-cpp/"), ("app/",)),
    (re.compile(r"^spdlog/"), ("base/log.cc",)),
]
MAX_LINES = 600


def main() -> int:
    src = pathlib.Path(sys.argv[1]) / "src"
    problems = []
    for path in sorted(src.rglob("*")):
        if path.suffix not in (".h", ".cc"):
            continue
        name = path.relative_to(src).as_posix()
        room = name.split("/")[0]
        text = path.read_text()
        if text.count("\n") > MAX_LINES:
            problems.append(f"{name}: {text.count(chr(10))} lines, at most {MAX_LINES}: it probably holds two things")
        for number, line in enumerate(text.split("\n"), 1):
            own = re.match(r'\s*#\s*include\s+"([a-z_]+)/', line)
            if own and own[1] in SEES and own[1] != room and own[1] not in SEES.get(room, set()):
                problems.append(f"{name}:{number}: {room} may not see {own[1]}")
            other = re.match(r"\s*#\s*include\s+[<\"]([^>\"]+)", line)
            for pattern, allowed in FENCES:
                if other and pattern.match(other[1]) and not name.startswith(allowed):
                    problems.append(f"{name}:{number}: {other[1]} belongs behind {', '.join(allowed)}")
    print("\n".join(problems) if problems else "layers: every include is allowed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
