"""Each rule of tools/lint.py on small made-up trees: one that breaks it, and one that does not."""
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
sys.dont_write_bytecode = True
import lint  # noqa: E402

CMAKE = """
function(square_sources out)
  file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/lib/${folder}/*.cpp)
endfunction()
square_sources(core_sources base env codec format journal pool index store)
square_sources(env_sources env/real)
add_subdirectory(tests)
"""
TESTS_CMAKE = """
file(GLOB_RECURSE unit_sources CONFIGURE_DEPENDS unit/*_test.cpp)
add_executable(unit_tests support/test_main.cpp ${unit_sources})
file(GLOB sim_sources CONFIGURE_DEPENDS sim/*_sim.cpp)
  file(GLOB parts CONFIGURE_DEPENDS sim/${part}/*.cpp)
  set_target_properties(${name} PROPERTIES LINK_LIBRARY_OVERRIDE "WHOLE_ARCHIVE,square_core")
file(GLOB fuzz_sources CONFIGURE_DEPENDS fuzz/*_fuzz.cpp)
"""
UNFINISHED = "TO" "DO"
WORKPLACE = "/wo" "rk/"


class LintTest(unittest.TestCase):
    def found(self, files, rule=None):
        """(path, line, rule) of the findings in a tree of these files; only those of `rule`."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="utf-8") as f:
                    f.write(text)
            return [(f.path, f.line, f.rule) for f in lint.lint(root) if rule in (None, f.rule)]

    def assert_clean(self, files, rule=None):
        self.assertEqual(self.found(files, rule), [])

    # ---- layers and doors

    def test_a_folder_may_include_those_above_it(self):
        self.assert_clean({"lib/pool/a.cpp": '#include "base/x.hpp"\n#include "journal/lane.hpp"\n'},
                          "order")

    def test_a_folder_may_not_include_those_below_it(self):
        self.assertEqual(self.found({"lib/pool/a.cpp": '\n#include "store/engine.hpp"\n'}, "order"),
                         [("lib/pool/a.cpp", 2, "order")])

    def test_lib_may_not_include_tests_or_daemon(self):
        files = {"lib/base/a.cpp": '#include "sim/env/disk.hpp"\n#include "daemon/main.hpp"\n'}
        self.assertEqual(len(self.found(files, "order")), 2)

    def test_the_real_half_of_env_includes_only_base_and_env(self):
        files = {"lib/env/real/a.cpp": '#include "codec/checksum.hpp"\n#include "env/real/b.hpp"\n'}
        self.assertEqual(self.found(files, "order"), [("lib/env/real/a.cpp", 1, "order")])

    def test_nobody_in_lib_includes_the_real_half_of_env(self):
        files = {"lib/store/a.cpp": '#include "env/real/loop.hpp"\n'}
        self.assertEqual(len(self.found(files, "order")), 1)

    def test_a_folder_that_is_not_in_the_table_is_found(self):
        self.assertEqual(self.found({"lib/util/a.cpp": ""}, "folder"), [("lib/util/a.cpp", 1, "folder")])

    def test_each_library_stays_behind_its_door(self):
        headers = {"grpcpp/grpcpp.h": "lib/rpc", "square/v1/control.grpc.pb.h": "lib/rpc",
                   "rocksdb/db.h": "lib/index", "openssl/evp.h": "lib/codec", "isa-l.h": "lib/codec",
                   "xxhash.h": "lib/codec", "boost/asio.hpp": "daemon", "liburing.h": "lib/env/real"}
        for header, home in headers.items():
            line = f"#include <{header}>\n"
            with self.subTest(header=header):
                self.assertEqual(len(self.found({"lib/store/a.cpp": line}, "door")), 1)
                self.assert_clean({f"{home}/a.cpp": line}, "door")

    def test_an_include_in_a_comment_is_text_of_a_comment(self):
        self.assert_clean({"lib/store/a.cpp": "// #include <rocksdb/db.h>\n"}, "door")

    # ---- outside calls

    def test_a_call_past_env_is_found_on_its_line(self):
        calls = ["std::chrono::system_clock::now()", "steady_clock::now()", "time(nullptr)", "std::time(0)",
                 "rand()", "std::random_device d", "getrandom(p, 1, 0)", "fopen(p, q)", "::open(p, 0)",
                 "::pread(f, b, 1, 0)", "std::ofstream out", "std::ifstream in",
                 "std::filesystem::remove(p)", 'std::getenv("X")', "std::thread t", "RAND_bytes(p, 1)",
                 "std::this_thread::sleep_for(d)", "::fsync(f)", "open(p, O_RDONLY)",
                 "clock_gettime(c, &t)", "return ::random()", "::connect(f, a, n)"]
        for call in calls:
            with self.subTest(call=call):
                found = self.found({"lib/pool/a.cpp": f"void f() {{\n  {call};\n}}\n"}, "outside")
                self.assertIn(("lib/pool/a.cpp", 2, "outside"), found)

    def test_our_own_calls_of_similar_names_are_not_found(self):
        self.assert_clean({"lib/pool/a.cpp": """
            static Async<Pool> open(env::Env env);
            auto pool = co_await Pool::open(env); auto now = env.loop.now(); disk.read(0, b);
            Random& random; wall_time(x); disks->open(path, {}); const auto x = strand(3);
            auto m = std::move(y); BootTime time() const;  // time(nullptr) would be wrong
            log("call fopen(x) or ::open(y)");
            """}, "outside")

    def test_headers_of_the_outside_are_found(self):
        for header in ("fstream", "filesystem", "random", "thread", "fcntl.h", "sys/socket.h"):
            with self.subTest(header=header):
                files = {"lib/store/a.cpp": f"#include <{header}>\n"}
                self.assertEqual(len(self.found(files, "outside")), 1)

    def test_env_may_call_anything(self):
        self.assert_clean({"lib/env/real/a.cpp": "int f() { return ::open(p, O_RDONLY); }\n"}, "outside")

    def test_rocksdb_has_files_but_no_clock(self):
        files = {"lib/index/rocks_kv_files.cpp": "#include <filesystem>\nauto t = steady_clock::now();\n"}
        self.assertEqual(self.found(files, "outside"), [("lib/index/rocks_kv_files.cpp", 2, "outside")])

    # ---- the simulation links everything

    def test_a_folder_missing_in_the_core_is_found(self):
        files = {"CMakeLists.txt": CMAKE, "lib/mirror/a.cpp": "", "lib/rpc/a.cpp": "",
                 "lib/env/real/a.cpp": "", "lib/pool/a.cpp": ""}
        found = lint_messages(files, "simulation")
        self.assertEqual(found, ["square_core must contain lib/mirror"])

    def test_a_simulation_that_does_not_link_the_whole_core_is_found(self):
        files = {"CMakeLists.txt": CMAKE, "tests/CMakeLists.txt": TESTS_CMAKE, "tests/sim/a_sim.cpp": ""}
        self.assert_clean(files, "simulation")
        files["tests/CMakeLists.txt"] = TESTS_CMAKE.replace("WHOLE_ARCHIVE", "DEFAULT")
        self.assertEqual(len(self.found(files, "simulation")), 1)

    # ---- files

    def test_a_header_that_nobody_includes_is_dead(self):
        files = {"lib/base/a.hpp": "", "lib/base/b.hpp": "", "lib/base/b.cpp": '#include "base/b.hpp"\n'}
        self.assertEqual(self.found(files, "dead")[0], ("lib/base/a.hpp", 1, "dead"))

    def test_a_source_that_no_glob_takes_is_dead(self):
        files = {"CMakeLists.txt": CMAKE, "tests/CMakeLists.txt": TESTS_CMAKE, "lib/base/a.cpp": "",
                 "lib/env/real/a.cpp": "", "lib/pool/deep/a.cpp": "", "tests/unit/pool/a_test.cpp": "",
                 "tests/unit/pool/a.cpp": "", "tests/support/test_main.cpp": "", "tests/sim/a_sim.cpp": "",
                 "tests/sim/a/run.cpp": "", "tests/sim/b.cpp": "", "daemon/main.cpp": ""}
        self.assertEqual([p for p, _, _ in self.found(files, "dead")],
                         ["daemon/main.cpp", "lib/pool/deep/a.cpp", "tests/sim/b.cpp",
                          "tests/unit/pool/a.cpp"])

    def test_marks_of_unfinished_work_are_found(self):
        files = {"lib/base/a.cpp": f"\n// {UNFINISHED}: later\n", "docs/a.md": f"# A\n{UNFINISHED}\n",
                 "tools/check": f"# {UNFINISHED}\n"}
        self.assertEqual(len(self.found(files, "unfinished")), 3)
        self.assert_clean({"tools/check": "mktemp -d /tmp/x.XX" "XXXX\n"}, "unfinished")

    def test_names_of_a_workplace_are_found(self):
        self.assertEqual(len(self.found({"docs/a.md": f"# A\nsee {WORKPLACE}x\n"}, "workplace")), 1)
        self.assert_clean({"docs/a.md": "# A\ndocs" + WORKPLACE + "x, libsquare.so\n"}, "workplace")

    def test_a_document_is_named_by_its_path(self):
        files = {"docs/protocol.md": "# P\n", "lib/base/a.cpp": "// PROTOCOL 3\n// docs/protocol.md, section 3\n"}
        self.assertEqual(self.found(files, "names"), [("lib/base/a.cpp", 1, "names")])

    def test_a_file_of_too_many_lines_is_found(self):
        self.assertEqual(len(self.found({"lib/base/a.cpp": "\n" * 701}, "length")), 1)
        self.assert_clean({"lib/base/a.cpp": "\n" * 700}, "length")

    # ---- C++

    def test_co_await_inside_a_catch_is_found(self):
        files = {"lib/base/a.cpp": "try { f(); } catch (const E& e) {\n if (x) { co_await g(); }\n}\n"}
        self.assertEqual(self.found(files, "catch"), [("lib/base/a.cpp", 2, "catch")])
        self.assert_clean({"lib/base/a.cpp": "try { co_await f(); } catch (...) { g(); }\nco_await h();\n"},
                          "catch")

    def test_quotes_and_comments_do_not_hide_code_or_make_it(self):
        code = 'f(R"(a " // b)"); int n = 1\'000; char c = \'"\'; g("x // y"); /* rand() */ h();'
        stripped = lint.strip(code)
        self.assertEqual(len(stripped), len(code))
        for kept in ("f(", "1'000", "g(", "h()"):
            self.assertIn(kept, stripped)
        self.assertNotIn("rand", stripped)

    def test_the_longest_functions_are_measured(self):
        code = "namespace a {\nvoid Big::run(int x) const {\n  if (x) {\n  }\n}\nint f() { return 1; }\n}\n"
        self.assertEqual(list(lint.functions(code)), [(2, 4, "Big::run"), (6, 1, "f")])

    # ---- tests

    def test_a_test_name_that_is_no_sentence_is_found(self):
        files = {"tests/unit/a_test.cpp": 'TEST_CASE("pool7") {}\nTEST_CASE("a pool opens", "[x]") {}\n'
                                          'TEST_CASE_METHOD(Fixture, "works") {}\n'}
        self.assertEqual([line for _, line, _ in self.found(files, "test name")], [1, 3])

    def test_a_golden_file_that_no_test_reads_is_found(self):
        files = {"tests/golden/label_v1.bin": "x", "tests/golden/record_v1.bin": "x",
                 "tests/golden/diff_hole.hex": "x",
                 "tests/unit/a_test.cpp": 'golden("label_v1.bin"); golden("diff_" + name);\n'}
        self.assertEqual(self.found(files, "golden"), [("tests/golden/record_v1.bin", 1, "golden")])

    def test_a_fuzz_target_without_a_corpus_is_found(self):
        files = {"tests/fuzz/label_fuzz.cpp": "", "tests/fuzz/record_fuzz.cpp": "",
                 "tests/fuzz/corpus/label/one": "x"}
        self.assertEqual(self.found(files, "corpus"), [("tests/fuzz/record_fuzz.cpp", 1, "corpus")])

    # ---- documents

    def test_a_document_has_one_title_on_its_first_line(self):
        self.assert_clean({"docs/a.md": "# A\n\n## B\n```\n# a comment\n```\n"}, "title")
        for text in ("", "## B\n", "# A\n# B\n", "text\n# A\n"):
            with self.subTest(text=text):
                self.assertEqual(len(self.found({"docs/a.md": text}, "title")), 1)

    def test_links_lead_somewhere(self):
        files = {"docs/a.md": "# A\n[b](b.md) [c](../lib) [d](b.md#two-words) [e](https://x.y) [f](#a)\n",
                 "docs/b.md": "# B\n## Two words\n", "lib/base/x.cpp": ""}
        self.assert_clean(files, "link")
        files["docs/a.md"] = "# A\n[b](c.md)\n[d](b.md#three)\n"
        self.assertEqual([line for _, line, _ in self.found(files, "link")], [2, 3])

    def test_files_that_comments_name_are_there(self):
        files = {"docs/a.md": "# A\n", "lib/base/x.hpp": "// docs/a.md, docs/b.md, docs/formats/*.md\n"}
        self.assertEqual(lint_messages(files, "names"), ["there is no docs/b.md"])

    def test_the_protocol_map_names_tests_and_planted_bugs_that_exist(self):
        files = {"docs/protocol_map.md": '# Map\n\n| 1 | rule | `lib/a.cpp` | "a test"; `a_bug` |\n'
                                         '| 2 | rule | not yet | planted bug "x": not yet; sim |\n',
                 "lib/pool/a.cpp": 'if (SQ_PLANTED("a_bug")) f();\n',
                 "tests/unit/pool/a_test.cpp": 'TEST_CASE("a test", "[x]") {}\n'}
        self.assert_clean(files, "map")
        files["lib/pool/a.cpp"] = files["tests/unit/pool/a_test.cpp"] = ""
        self.assertEqual(lint_messages(files, "map"),
                         ['there is no test "a test"', "no SQ_PLANTED is called a_bug"])

    def test_a_health_code_without_a_page_is_found(self):
        files = {"lib/access/a.cpp": 'add("SQ-DISK-FAILED");\nadd("SQ-POOL-FULL");\n',
                 "docs/health/SQ-DISK-FAILED.md": "# SQ-DISK-FAILED\n"}
        self.assertEqual(self.found(files, "health"), [("lib/access/a.cpp", 2, "health")])

    # ---- the program

    def test_the_exit_status_tells_whether_there_was_a_finding(self):
        program = os.path.join(ROOT, "tools", "lint.py")
        with tempfile.TemporaryDirectory() as root:
            run = lambda: subprocess.run([sys.executable, program, root], capture_output=True, text=True)
            self.assertEqual(run().returncode, 0)
            with open(os.path.join(root, "README.md"), "w", encoding="utf-8") as f:
                f.write("no title\n")
            result = run()
            self.assertEqual(result.returncode, 1)
            self.assertIn("README.md:1: title:", result.stdout)


def lint_messages(files, rule):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
        return [f.message for f in lint.lint(root) if f.rule == rule]


if __name__ == "__main__":
    unittest.main()
