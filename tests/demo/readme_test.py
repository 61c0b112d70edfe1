#!/usr/bin/env python3
"""The programs in README.md are those that are compiled and run: each fence that follows a line
`<!-- from <path> -->` holds that file, without its first comment. Argument: the source folder."""

import re
import sys
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop())
SNIPPET = re.compile(r"^<!-- from (\S+) -->\n```cpp\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def without_first_comment(text: str) -> str:
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("//"):
        lines.pop(0)
    return "".join(lines)


class ReadmeTest(unittest.TestCase):
    def setUp(self):
        self.text = (ROOT / "README.md").read_text("utf-8")
        self.snippets = SNIPPET.findall(self.text)

    def test_each_cpp_fence_comes_from_a_file(self):
        self.assertEqual(self.text.count("```cpp\n"), len(self.snippets))
        self.assertGreaterEqual(len(self.snippets), 2)

    def test_programs_are_those_that_are_built(self):
        for path, program in self.snippets:
            with self.subTest(path):
                self.assertEqual(program, without_first_comment((ROOT / path).read_text("utf-8")))
                listed = (ROOT / path).parent / "CMakeLists.txt"
                self.assertIn(Path(path).name, listed.read_text("utf-8"))

    def test_programs_fit_a_screen(self):
        for path, program in self.snippets:
            with self.subTest(path):
                self.assertLessEqual(len(program.splitlines()), 40)

    def test_commands_exist(self):
        verbs = set(re.findall(r"^\./dev ([a-z]+)", self.text, re.MULTILINE))
        known = set(re.findall(r"^\./dev ([a-z]+)", (ROOT / "dev").read_text("utf-8"), re.MULTILINE))
        self.assertLessEqual({"demo", "test"}, verbs)
        self.assertLessEqual(verbs, known)

    def test_links_lead_somewhere(self):
        for name in ("README.md", "examples/README.md"):
            for target in LINK.findall((ROOT / name).read_text("utf-8")):
                with self.subTest(f"{name}: {target}"):
                    self.assertTrue(((ROOT / name).parent / target).exists())

    def test_each_example_is_listed(self):
        listed = (ROOT / "examples/README.md").read_text("utf-8")
        for folder in (ROOT / "examples").iterdir():
            if folder.is_dir():
                self.assertIn(f"]({folder.name}/)", listed)


if __name__ == "__main__":
    unittest.main()
