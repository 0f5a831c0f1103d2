#!/usr/bin/env python3
"""Checks who includes whom in src/. Usage: check_layers.py ROOT

A room is a folder of src/. A sub-folder of a room is a folder of its own. The check fails on
  - a folder that has no row in FOLDERS, or holds more than MAX_FILES files,
  - an include that the room's or the sub-folder's row does not allow, or of a file that does not exist (in fuzz/ and bench/ too),
  - a circle between folders (tests and their fakes are exempt),
  - a library outside its fence,
  - a file of more than MAX_LINES lines,
  - two files of a room that define the same name in an anonymous namespace: the sanitizers and clang-tidy read the files of a room
    joined (CMAKE_UNITY_BUILD in CMakePresets.json), where such names collide, or one overload silently goes before another.
Every message says what is wrong, why, and what to do.
"""
# SPDX-License-Identifier: Apache-2.0
import pathlib
import re
import sys

# What each room may see, from the ground floor up: a room sees only rooms above its own row. The row of a sub-folder is here
# because every folder must be known; where it says less than its room's row, that is a rule too. Inside a room, folders may
# see each other as long as there is no circle.
FOLDERS = {
    "base": "",
    "telemetry": "base",
    "net": "base",
    "promql": "telemetry base",
    "promql/syntax": "telemetry base",
    "promql/eval": "telemetry base",
    "cohort": "promql telemetry base",
    "trace": "telemetry base",
    "judge": "telemetry base",
    "judge/plan": "base",
    "judge/stats": "base",
    "judge/trial": "telemetry base",
    "explain": "trace telemetry base",
    "store": "telemetry base",
    "store/disk": "base",
    "store/series": "telemetry base",
    "store/spans": "telemetry base",
    "store/ingest": "telemetry base",
    "receive": "store net telemetry base",
    "datasource": "store promql cohort trace net telemetry base",
    "route": "net base",
    "notify": "net base",
    "rollout": "cohort promql trace judge explain route notify net telemetry base",
    "rollout/evidence": "cohort promql trace judge explain telemetry base",
    "rollout/journal": "trace judge explain route notify telemetry base",
    "rollout/control": "cohort promql trace judge explain route notify net telemetry base",
    "config": "rollout route notify datasource judge store cohort promql net telemetry base",
    "serve": "rollout promql cohort trace explain judge route net telemetry base",
    "cli": "net base",
    "lab": "config rollout datasource judge cli cohort promql net telemetry base",
    "lab/promqltest": "promql telemetry base",
    "lab/vectors": "config judge telemetry base",
    "demo": "route net base",
    "app": "demo lab cli serve config rollout notify route datasource receive store explain judge trace cohort promql net telemetry base",
    "app/command": "demo lab cli serve config rollout notify route datasource receive store explain judge trace cohort promql net telemetry base",
}

# Insides: folders that only these rooms may include.
INSIDES = {"judge/stats": ("judge", "lab"), "judge/trial": ("judge", "lab")}

# A heavy or dangerous library, what to call it, and the only files that may include it (path prefixes under src/).
FENCES = [
    (r"boost/(asio|beast)|nghttp2|curl/", "a transport", ["net/"]),
    (r"openssl/(?!evp|hmac|sha|md5|rand|crypto)", "OpenSSL's TLS", ["net/"]),
    (r"openssl/", "an OpenSSL digest", ["base/"]),
    (r"sys/socket\.h|netinet/|arpa/inet\.h|netdb\.h|sys/un\.h", "a raw socket", ["net/"]),
    (r"rocksdb/", "RocksDB", ["store/disk/rocks_"]),
    (r"sqlite3", "SQLite", ["rollout/journal/"]),
    (r"simdjson|protozero/", "a wire decoder", ["receive/", "lab/"]),
    (r"CLI/", "CLI11", ["app/command/"]),
    (r"yaml-cpp/", "yaml-cpp", ["config/"]),
    (r"spdlog/", "spdlog", ["base/log.cc"]),
]

# Files outside a fence, with the reason. One that is no longer needed fails the check, so that this list only shrinks.
EXCEPTIONS = [
    ("route/haproxy_socket.cc", r"sys/socket\.h|sys/un\.h", "HAProxy's runtime API is a line protocol on a UNIX or TCP socket, not HTTP"),
    ("route/haproxy_test.cc", r"sys/socket\.h|netinet/|arpa/inet\.h|sys/un\.h", "plays an HAProxy that listens on both kinds of socket"),
    ("route/haproxy_discovery_test.cc", r"sys/socket\.h|sys/un\.h", "plays an HAProxy that listens on a UNIX socket"),
    ("serve/guard.cc", r"arpa/inet\.h", "tells an address from a name in a Host header; opens no socket"),
    ("demo/demo_process.cc", r"sys/socket\.h|arpa/inet\.h", "asks the kernel for free ports"),
    ("app/analysis_span.cc", r"protozero/", "encodes coalmine's own spans as OTLP"),
]

MAX_LINES = 600
MAX_FILES = 45
MISSING = '"{}" does not exist. Includes are written from src/, as "room/file.h"; mend the path, or use <> for a library.'
INCLUDE = re.compile(r"\s*#\s*include\s+([<\"])([^>\"]+)")


# How clang-format leaves what begins a definition at file scope: at the first column.
KIND = re.compile(r"(?:struct|class|enum class|enum|union) (\w+)(?!.*;$)")
CONSTANT = re.compile(r"(?! )(?:(?:inline|constexpr|const|static|thread_local) )+[^(=]*?\b(\w+)(?: =|\{|\[|$)")
FUNCTION = re.compile(r"(?![ }/#]|using|static_assert|template|[A-Z_]+\()[\w:<>,*&\[\] ]*?[ *&](\w+)\(")


def anonymous_names(text: str) -> set[str]:
    """What a file defines in anonymous namespaces."""
    names, inside = set(), False
    for line in text.split("\n"):
        if line == "namespace {":
            inside = True
        elif line.startswith("} // namespace"):
            inside = False
        elif inside and (found := KIND.match(line) or CONSTANT.match(line) or FUNCTION.match(line)):
            names.add(found[1])
    return names


def folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def room_of(name: str) -> str:
    return name.split("/")[0]


def is_test(name: str) -> bool:
    return name.endswith(("_test.cc", "_for_test.h", "_for_test.cc", "testing.h"))


class Check:
    def __init__(self, root: pathlib.Path):
        self.src = root / "src"
        self.problems: list[str] = []
        self.edges: dict[str, dict[str, str]] = {}  # folder -> folder it includes -> one place where it does
        self.used_exceptions: set[int] = set()
        self.anonymous: dict[tuple[str, bool, str], str] = {}  # room, test or not, name -> the file that defines it

    def run(self) -> list[str]:
        files = [p for p in sorted(self.src.rglob("*")) if p.is_file()]
        self.check_folders([p.relative_to(self.src).as_posix() for p in files])
        for path in files:
            if path.suffix in (".h", ".cc"):
                self.check_file(path.relative_to(self.src).as_posix(), path.read_text(encoding="utf-8"))
        self.check_circles()
        self.check_exceptions()
        self.check_outsiders()
        return self.problems

    def report(self, where: str, what: str) -> None:
        self.problems.append(f"src/{where}: {what}")

    def check_folders(self, names: list[str]) -> None:
        count: dict[str, int] = {}
        for name in names:
            count[folder_of(name)] = count.get(folder_of(name), 0) + 1
        for folder, files in count.items():
            if folder and folder not in FOLDERS:
                self.report(folder, "this folder has no row in FOLDERS of tools/check_layers.py, so nothing says what it may see. "
                                    "Give it a row there (and in docs or ARCHITECTURE.md), or put its files into a room that exists.")
            if files > MAX_FILES:
                self.report(folder, f"{files} files, at most {MAX_FILES}: a folder that large holds two subjects. "
                                    "Give one of them a sub-folder.")

    def check_file(self, name: str, text: str) -> None:
        lines = text.count("\n")
        if lines > MAX_LINES:
            self.report(name, f"{lines} lines, at most {MAX_LINES}: a file that long holds two things. Split it along what they are for.")
        if name.endswith(".cc"):
            self.check_anonymous(name, text)
        for number, line in enumerate(text.split("\n"), 1):
            include = INCLUDE.match(line)
            if not include:
                continue
            if include[1] == '"':
                self.check_own(name, number, include[2])
            self.check_fence(name, number, include[2])

    def check_anonymous(self, name: str, text: str) -> None:
        for own in sorted(anonymous_names(text)):
            other = self.anonymous.setdefault((room_of(name), is_test(name), own), name)
            if other != name:
                self.report(name, f"{own} stands in an anonymous namespace here and in src/{other}. The sanitizer and lint builds join "
                                  "the files of a room, where the two collide or overload each other. Move it to a header both include, or rename one.")

    def check_outsiders(self) -> None:
        """The fuzz targets and benchmarks see every room; what they include must exist."""
        for path in sorted(self.src.parent.glob("fuzz/*.cc")) + sorted(self.src.parent.glob("bench/*.cc")):
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
                include = INCLUDE.match(line)
                if include and include[1] == '"' and not (self.src / include[2]).is_file():
                    self.problems.append(f"{path.parent.name}/{path.name}:{number}: {MISSING.format(include[2])}")

    def check_own(self, name: str, number: int, target: str) -> None:
        where = f"{name}:{number}"
        if not (self.src / target).is_file():
            self.report(where, MISSING.format(target))
            return
        here, there = folder_of(name), folder_of(target)
        self.check_sight(where, here, there, target)
        if here != there and not is_test(name) and not is_test(target):
            self.edges.setdefault(here, {}).setdefault(there, f'src/{where} includes "{target}"')

    def check_sight(self, where: str, here: str, there: str, target: str) -> None:
        if room_of(here) == room_of(there):
            return
        allowed = FOLDERS.get(here)
        if allowed is not None and room_of(there) not in allowed.split():
            self.report(where, f'{here} may not see {room_of(there)} ("{target}"): it may see {", ".join(allowed.split()) or "nothing"}. '
                               f"Move what both need down into one of those, or let {here} ask through an interface that a room above it fills in.")
        insiders = INSIDES.get(there)
        if insiders and room_of(here) not in insiders:
            self.report(where, f'"{target}" is inside {room_of(there)}: only {" and ".join(insiders)} may include {there}. '
                               f"Use what {room_of(there)}/ itself offers, or offer there what is missing.")

    def check_fence(self, name: str, number: int, target: str) -> None:
        for pattern, what, allowed in FENCES:
            if not re.match(pattern, target):
                continue
            if not name.startswith(tuple(allowed)) and not self.excepted(name, target):
                self.report(f"{name}:{number}", f"<{target}> is {what}, and only {', '.join('src/' + a + '*' * (not a.endswith('.cc')) for a in allowed)} "
                                                "may include it, so that the library can be replaced in one place. Use what is offered there, or add to it.")
            return

    def excepted(self, name: str, target: str) -> bool:
        for index, (prefix, pattern, _) in enumerate(EXCEPTIONS):
            if name.startswith(prefix) and re.match(pattern, target):
                self.used_exceptions.add(index)
                return True
        return False

    def check_exceptions(self) -> None:
        for index, (prefix, pattern, _) in enumerate(EXCEPTIONS):
            if index not in self.used_exceptions and any(self.src.glob(prefix + "*")):
                self.report(prefix, f"no longer includes {pattern}: delete its line from EXCEPTIONS of tools/check_layers.py.")

    def check_circles(self) -> None:
        """Reports a shortest circle through each folder that has not been part of a reported one."""
        seen: set[str] = set()
        for folder in sorted(self.edges):
            circle = [] if folder in seen else self.circle_through(folder)
            if circle:
                seen.update(circle)
                steps = zip(circle, circle[1:] + circle[:1])
                self.report(folder, f"a circle between folders: {' -> '.join(circle + circle[:1])}. No folder of a circle can be read, built or "
                                    "tested without the others. Move what is needed both ways into the lower one, or merge them.\n    "
                                    + "\n    ".join(self.edges[a][b] for a, b in steps))

    def circle_through(self, start: str) -> list[str]:
        paths, reached = [[start]], {start}
        while paths:
            path = paths.pop(0)
            for following in sorted(self.edges.get(path[-1], {})):
                if following == start:
                    return path
                if following not in reached:
                    reached.add(following)
                    paths.append(path + [following])
        return []


def main() -> int:
    problems = Check(pathlib.Path(sys.argv[1])).run()
    print("\n".join(problems) if problems else "layers: every include is allowed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
