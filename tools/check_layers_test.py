#!/usr/bin/env python3
"""Plants one fault after another in a small tree and sees check_layers.py find it."""
# SPDX-License-Identifier: Apache-2.0
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_layers


class CheckLayers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.plant("base/result.h")
        self.plant("store/store.h", '#include "base/result.h"')
        self.plant("store/disk/disk.h", '#include "base/result.h"')
        self.plant("store/store.cc", '#include "store/store.h"', '#include "store/disk/disk.h"')
        self.plant("judge/stats/tails.h")
        self.plant("judge/judge.h", '#include "judge/stats/tails.h"')

    def plant(self, name, *lines):
        path = self.root / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines))

    def problems(self):
        return check_layers.Check(self.root).run()

    def expect(self, *words):
        problems = self.problems()
        self.assertEqual(len(problems), 1, problems)
        for word in words:
            self.assertIn(word, problems[0])

    def test_a_sound_tree_passes(self):
        self.assertEqual(self.problems(), [])

    def test_a_room_that_includes_one_above_it(self):
        self.plant("store/wrong.cc", "", '#include "judge/judge.h"')
        self.expect("src/store/wrong.cc:2", "store may not see judge", "it may see telemetry, base", "interface")

    def test_tests_are_bound_by_the_table_too(self):
        self.plant("store/wrong_test.cc", '#include "judge/judge.h"')
        self.expect("src/store/wrong_test.cc:1", "store may not see judge")

    def test_a_sub_folder_with_a_stricter_row_than_its_room(self):
        self.plant("telemetry/labels.h")
        self.plant("store/labels.cc", '#include "telemetry/labels.h"')
        self.assertEqual(self.problems(), [])
        self.plant("store/disk/labels.cc", '#include "telemetry/labels.h"')
        self.expect("store/disk may not see telemetry")

    def test_insides_of_a_room(self):
        self.plant("lab/simulate.cc", '#include "judge/stats/tails.h"')
        self.assertEqual(self.problems(), [])
        self.plant("rollout/look.cc", '#include "judge/stats/tails.h"')
        self.expect("src/rollout/look.cc:1", "inside judge", "only judge and lab may include judge/stats")

    def test_a_circle_between_two_folders(self):
        self.plant("store/disk/wrong.cc", '#include "store/store.h"')
        self.expect("a circle between folders: store -> store/disk -> store", "src/store/store.cc:2", "src/store/disk/wrong.cc:1")

    def test_a_circle_between_three_folders(self):
        self.plant("store/series/head.h")
        self.plant("store/series/head.cc", '#include "store/store.h"')
        self.plant("store/disk/wrong.cc", '#include "store/series/head.h"')
        self.expect("store -> store/disk -> store/series -> store")

    def test_tests_and_fakes_make_no_circle(self):
        self.plant("store/disk/disk_test.cc", '#include "store/store.h"')
        self.plant("store/disk/store_for_test.h", '#include "store/store.h"')
        self.plant("store/disk/testing.h", '#include "store/store.h"')
        self.assertEqual(self.problems(), [])

    def test_an_overfull_folder(self):
        for index in range(check_layers.MAX_FILES - 1):
            self.plant(f"base/file{index}.cc")
        self.assertEqual(self.problems(), [])
        self.plant("base/one_too_many_test.cc")
        self.expect("src/base: 46 files, at most 45", "sub-folder")

    def test_fences(self):
        for library, inside in [("rocksdb/db.h", "store/disk/rocks_db.cc"), ("sqlite3.h", "rollout/journal/journal.cc"),
                                ("simdjson.h", "receive/json.cc"), ("CLI/CLI.hpp", "app/command/command_line.h"), ("yaml-cpp/yaml.h", "config/yaml.h"),
                                ("spdlog/spdlog.h", "base/log.cc"), ("openssl/ssl.h", "net/tls.cc"), ("openssl/sha.h", "base/digest.cc"),
                                ("sys/socket.h", "net/endpoint.cc"), ("boost/asio.hpp", "net/server.cc")]:
            with self.subTest(library):
                self.plant(inside, f"#include <{library}>")
                self.assertEqual(self.problems(), [])
                self.plant("store/breach.cc", f"#include <{library}>")
                self.expect("src/store/breach.cc:1", f"<{library}>", "may include it")
                (self.root / "src/store/breach.cc").unlink()

    def test_tls_is_not_a_digest(self):
        self.plant("base/tls.cc", "#include <openssl/ssl.h>")
        self.expect("OpenSSL's TLS", "src/net/")

    def test_an_exception_that_is_no_longer_needed(self):
        self.plant("serve/guard.cc", "#include <arpa/inet.h>")
        self.assertEqual(self.problems(), [])
        self.plant("serve/guard.cc")
        self.expect("src/serve/guard.cc", "EXCEPTIONS")

    def test_a_file_that_is_too_long(self):
        self.plant("base/long.cc", *["//"] * check_layers.MAX_LINES)
        self.assertEqual(self.problems(), [])
        self.plant("base/long.cc", *["//"] * (check_layers.MAX_LINES + 1))
        self.expect("src/base/long.cc: 601 lines", "Split it")

    def test_a_name_that_two_files_of_a_room_define(self):
        inside = "namespace {", "constexpr int kOne = 1;", "int f(int a, char b = 0) {", "}", "Result<std::string> g(", "struct S {", "};", "} // namespace"
        self.plant("store/a.cc", *inside)
        self.plant("store/b.cc", "constexpr int kOne = 1;", "namespace {", "int h(kOne);", "struct S;", "} // namespace")
        self.plant("judge/a.cc", *inside)
        self.plant("store/a_test.cc", *inside)
        self.assertEqual(self.problems(), [])
        for line, name in (("constexpr long kOne = 2;", "kOne"), ("long f(char e) {", "f"), ("class S {", "S")):
            self.plant("store/b.cc", "namespace {", line, "} // namespace")
            self.expect(f"src/store/b.cc: {name} stands", "src/store/a.cc", "rename one")

    def test_an_include_of_something_that_does_not_exist(self):
        self.plant("store/wrong.cc", '#include "query/engine.h"')
        self.expect('src/store/wrong.cc:1: "query/engine.h" does not exist')

    def test_a_fuzz_target_that_includes_something_that_does_not_exist(self):
        (self.root / "fuzz").mkdir()
        (self.root / "fuzz/store_fuzz.cc").write_text('#include "store/store.h"\n#include "query/ast.h"\n')
        self.expect('fuzz/store_fuzz.cc:2: "query/ast.h" does not exist')

    def test_folders_that_the_table_does_not_know(self):
        self.plant("attic/thing.h")
        self.expect("src/attic: this folder has no row")
        (self.root / "src/attic/thing.h").unlink()
        self.plant("store/attic/thing.h")
        self.expect("src/store/attic: this folder has no row")

    def test_the_table_has_floors(self):
        below = []
        for folder, allowed in check_layers.FOLDERS.items():
            room = check_layers.room_of(folder)
            for seen in allowed.split():
                self.assertIn(seen, below, f"{folder} sees {seen}, which is not above it in the table")
            if folder != room:
                self.assertLessEqual(set(allowed.split()), set(check_layers.FOLDERS[room].split()), folder)
            below.append(room)

    def test_the_command_fails_and_says_why(self):
        script = check_layers.__file__
        sound = subprocess.run([sys.executable, script, self.root], capture_output=True, text=True, check=False)
        self.assertEqual((sound.returncode, sound.stdout), (0, "layers: every include is allowed\n"))
        self.plant("store/wrong.cc", '#include "judge/judge.h"')
        faulty = subprocess.run([sys.executable, script, self.root], capture_output=True, text=True, check=False)
        self.assertEqual(faulty.returncode, 1)
        self.assertIn("store may not see judge", faulty.stdout)


if __name__ == "__main__":
    unittest.main()
