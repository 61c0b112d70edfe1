"""Each rule of tools/check_docs.py, with a violation planted in an otherwise clean tree; and this tree."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "tools" / "check_docs.py"
sys.path.insert(0, str(CHECK.parent))

from check_docs import Checker  # noqa: E402: it is found by the line above

TABLE = "| ID | feature | state | where | test |\n|---|---|---|---|---|\n"
ROWS = (
    "| R1 | a loop, with `DYN_X` | done | `src/a.cpp`, `src/` | `tests/a_test.cpp` |\n"
    "| R2 | half \\| of it | partly | `src/a.cpp`; waits for more | - |\n"
    "| R3 | nothing of it | not yet | etcd store | - |\n"
    "| R4 | a defect | refused | ours says so | - |\n"
    "| R5 | a script | done | `src/` | `bench/harness/tests/x_test.py` |\n"
)
CLEAN = {
    "README.md": (
        "# A tree\n\n[map](docs/index.md), [site](https://example.org/x), [mail](mailto:a@example.org)\n"
        "![picture](docs/p.png \"title\") [here](#a-tree) [ref]\n\n[ref]: docs/adr/0001-x.md#why-it-is\n\n"
        "```sh\n[not a link](nowhere.md)\n```\n`[neither](nowhere.md)` <!-- [nor](nowhere.md) -->\n"
    ),
    "docs/index.md": "[features](features.md)\n[decisions](adr/)\n[sources](../src)\n",
    "docs/features.md": "# Features\n\n" + TABLE + ROWS + "\n| name | table |\n|---|---|\n| x | y |\n",
    "docs/adr/0001-x.md": "# 1. X\n\n## Why `it` is\n\n## Twice\n\n## Twice\n",
    "docs/p.png": "",
    "src/a.cpp": "",
    "tests/a_test.cpp": "",
    "tests/CMakeLists.txt": "stator_test(x SOURCES a_test.cpp)\n",
    "bench/CMakeLists.txt": "add_test(unittest discover harness/tests)\n",
    "bench/harness/tests/x_test.py": "",
    "build/deps/README.md": "[broken](nowhere.md)\n",
    ".cache/README.md": "[broken](nowhere.md)\n",
}


class CheckDocsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for path, text in CLEAN.items():
            self.plant(path, text)

    def plant(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def run_check(self) -> tuple[int, str, str]:
        command = [sys.executable, "-B", CHECK, "--root", self.root]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def assert_only(self, *expected: str) -> None:
        self.assertEqual(Checker(self.root).run(), list(expected))

    def assert_row(self, row: str, *what: str) -> None:
        """Of a table with this row alone."""
        self.plant("docs/features.md", TABLE + row + "\n")
        self.assert_only(*(f"docs/features.md:3: {line}" for line in what))

    def test_clean_tree_passes_and_is_counted(self):
        summary = "check_docs: 0 violations; features: 2 done, 1 partly, 1 not yet, 1 refused\n"
        self.assertEqual(self.run_check(), (0, "", summary))

    def test_violations_are_printed_and_make_it_fail(self):
        self.plant("README.md", "[a](b.md)\n")
        code, out, errors = self.run_check()
        self.assertEqual((code, out), (1, "README.md:1: the link b.md leads nowhere\n"))
        self.assertIn("check_docs: 1 violations", errors)

    def test_link_to_nothing(self):
        self.plant("docs/adr/0001-x.md", "# X\n\n## Why it is\n\n[a\nb](../nowhere.md)\n")
        self.assert_only("docs/adr/0001-x.md:5: the link ../nowhere.md leads nowhere")

    def test_link_definition_and_picture_to_nothing(self):
        self.plant("README.md", "[map]\n\n[map]: docs/map.md\n![x](<docs/q.png>)\n")
        self.assert_only(
            "README.md:3: the link docs/map.md leads nowhere",
            "README.md:4: the link docs/q.png leads nowhere",
        )

    def test_link_after_a_fence_that_holds_another(self):
        for fence, inner in (("````", "```"), ("~~~", "# A tree")):
            self.plant("README.md", f"{fence}\n{inner}\n[a](b.md)\n{inner}\n{fence}\n[c](d.md)\n")
            self.assert_only("README.md:6: the link d.md leads nowhere")

    def test_link_out_of_the_tree(self):
        self.plant("README.md", "[a](../README.md) [b](/etc/passwd)\n")
        self.assert_only(
            "README.md:1: the link ../README.md leaves the tree",
            "README.md:1: the link /etc/passwd leaves the tree",
        )

    def test_anchors(self):
        self.plant("README.md", "[a](docs/adr/0001-x.md#twice-1) [b](docs/adr/0001-x.md#why-it-is)\n")
        self.assert_only()
        self.plant("src/a.cpp", "# l3\n")
        self.plant("README.md", "[a](docs/adr/0001-x.md#twice-2)\n[b](#here)\n[c](src/a.cpp#l3)\n")
        self.assert_only(
            "README.md:1: the link docs/adr/0001-x.md#twice-2 names no heading of docs/adr/0001-x.md",
            "README.md:2: the link #here names no heading of README.md",
            "README.md:3: the link src/a.cpp#l3 names no heading of src/a.cpp",
        )

    def test_a_file_that_a_feature_names(self):
        self.assert_row(
            "| R1 | x | done | `src/b.cpp` `src/` | `tests/a_test.cpp` `tests/b_test.cpp` |",
            "R1: there is no src/b.cpp",
            "R1: there is no tests/b_test.cpp",
        )

    def test_a_test_that_nobody_runs(self):
        self.plant("tests/b_test.cpp", "")
        self.assert_row(
            "| R1 | x | done | `src/` | `tests/b_test.cpp` |",
            "R1: no CMakeLists.txt runs tests/b_test.cpp",
        )

    def test_a_test_that_a_loop_runs(self):
        self.plant("tests/loop/end_test.py", "")
        self.plant("tests/loop/stop_test.py", "")
        self.plant("tests/loop/CMakeLists.txt", "foreach(name stop)\nadd_test(${name}_test.py)\n")
        rows = "| R1 | x | done | `src/` | `tests/loop/stop_test.py` `tests/loop/end_test.py` |"
        self.assert_row(rows, "R1: no CMakeLists.txt runs tests/loop/end_test.py")

    def test_a_test_whose_name_is_a_part_of_another(self):
        self.plant("tests/a_t.cpp", "")
        self.assert_row(
            "| R1 | x | done | `src/` | `tests/a_t.cpp` |", "R1: no CMakeLists.txt runs tests/a_t.cpp"
        )

    def test_done_needs_a_file_and_a_test(self):
        self.assert_row(
            "| R1 | x | done | somewhere | - |",
            "R1 is done and names no file",
            "R1 is done and names no test",
        )

    def test_partly_needs_a_file(self):
        self.assert_row("| R1 | x | partly | soon | - |", "R1 is partly and names no file")

    def test_not_yet_and_refused_need_a_reason(self):
        self.assert_row("| R1 | x | not yet | - | - |", "R1 is not yet and does not say what for")
        self.assert_row("| R1 | x | refused | | - |", "R1 is refused and does not say what for")

    def test_unknown_state(self):
        self.assert_row(
            "| R1 | x | soon | `src/` | - |", 'R1: "soon" is none of: done, partly, not yet, refused'
        )

    def test_ids(self):
        self.assert_row("| r1 | x | refused | no | - |", '"r1" is no ID: a capital letter and a number')
        self.assert_row("| R1b | x | refused | no | - |", '"R1b" is no ID: a capital letter and a number')

    def test_an_id_twice_even_in_two_tables(self):
        row = "| R1 | x | refused | no | - |\n"
        self.plant("docs/features.md", TABLE + row + "\n" + TABLE + row)
        self.assert_only("docs/features.md:7: R1 is in line 3 already")

    def test_columns(self):
        self.assert_row("| R1 | x | done | `src/` |", "R1 has 4 columns, not 5")
        self.plant("docs/features.md", "| ID | state |\n|---|---|\n| R1 | x | refused | no | - |\n")
        self.assert_only("docs/features.md:1: the columns are ID, feature, state, where, test")

    def test_a_feature_without_words(self):
        self.assert_row("| R1 | | refused | no | - |", "R1 does not say what it is")

    def test_no_features_at_all(self):
        self.plant("docs/features.md", "# Features\n")
        self.assert_only("docs/features.md:1: has no features")

    def test_a_document_that_the_index_forgets(self):
        self.plant("docs/errors.md", "\n")
        self.plant("docs/protocol/wire.md", "\n")
        self.assert_only(
            "docs/index.md:1: does not link docs/errors.md",
            "docs/index.md:1: does not link docs/protocol/wire.md",
        )

    def test_private_words(self):
        # In pieces, or this file would hold them.
        words = ["../" + "shared/x", "/" + "work/x", "Helper\n" + "session"]
        self.plant("README.md", "\n".join(["see `" + words[0] + "`", "in " + words[1], "a " + words[2]]))
        self.assert_only(
            'README.md:1: "../' + 'shared" is a folder outside of the tree',
            'README.md:2: "/' + 'work/" is a path of one machine',
            'README.md:3: "Helper ' + 'session" is how a text was made',
        )

    def test_words_that_only_look_private(self):
        self.plant("README.md", "docs/work/x, ../sharing, a helper's session, /works/\n")
        self.assert_only()

    def test_this_tree(self):
        self.assertEqual(Checker(ROOT).run(), [])


if __name__ == "__main__":
    unittest.main()
