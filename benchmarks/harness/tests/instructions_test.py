"""The check of instruction counts: what it reads, when it fails, when it is skipped."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from instructions import check

DUMP = """# callgrind format
version: 1
creator: callgrind-3.19.0
part: 3

desc: I1 cache:
desc: Trigger: Client Request: session_item

positions: line
events: Ir
summary: 123456

fn=(1)
0 123456
"""
HERE = {"machine": "x86_64", "compiler": "clang 19", "valgrind": "3.19"}


class DumpTest(unittest.TestCase):
    def test_case_and_total(self):
        self.assertEqual(check.parse_dump(DUMP), ("session_item", 123456))
        self.assertEqual(
            check.parse_dump(DUMP.replace("summary:", "totals:")), ("session_item", 123456)
        )

    def test_the_one_at_the_end_is_no_case(self):
        self.assertIsNone(
            check.parse_dump(DUMP.replace("Client Request: session_item", "Program termination"))
        )

    def test_per_operation(self):
        dumps = [("a", 1200), ("b", 10), ("a", 1000)]
        self.assertEqual(check.per_operation({"a": 100, "b": 4}, dumps), {"a": 10, "b": 2.5})

    def test_a_lost_case_is_no_count(self):
        for operations, dumps in (({"a": 1}, []), ({}, [("a", 1)])):
            with self.assertRaisesRegex(RuntimeError, "disagree about a"):
                check.per_operation(operations, dumps)


class CompareTest(unittest.TestCase):
    def held(self, counts, baseline):
        return check.compare(counts, baseline)[1]

    def test_growth(self):
        self.assertTrue(self.held({"a": 104.9}, {"a": 100}))
        self.assertFalse(self.held({"a": 105.1}, {"a": 100}))
        self.assertTrue(self.held({"a": 10}, {"a": 100}))

    def test_one_of_many(self):
        lines, held = check.compare({"a": 100, "b": 200}, {"a": 100, "b": 100})
        self.assertFalse(held)
        self.assertTrue(lines[0].startswith("ok"), lines)
        self.assertTrue(lines[1].startswith("FAIL"), lines)

    def test_other_cases(self):
        self.assertFalse(self.held({"a": 1, "new": 1}, {"a": 1}))
        self.assertFalse(self.held({"a": 1}, {"a": 1, "gone": 1}))


class MainTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.baselines = Path(folder.name) / "baselines.json"
        check.update(self.baselines, HERE, {"a": 100.0})

    def main(self, *arguments, counts=None, here=HERE):
        output = io.StringIO()
        counting = mock.Mock(return_value=counts)
        made_with = mock.Mock(return_value=here)
        if isinstance(here, Exception):
            made_with.side_effect = here
        with (
            mock.patch.object(check, "count", counting),
            mock.patch.object(check, "made_with", made_with),
            contextlib.redirect_stdout(output),
        ):
            code = check.main([f"--baselines={self.baselines}", *arguments])
        self.counted = counting.called
        return code, output.getvalue()

    def test_held(self):
        self.assertEqual(self.main(counts={"a": 101.0})[0], 0)

    def test_a_growth_fails_and_says_how_to_record_it(self):
        code, text = self.main(counts={"a": 106.0})
        self.assertEqual(code, 1)
        self.assertIn("./dev instructions --update", text)
        self.assertIn("+6.0%", text)

    def test_other_versions_are_skipped_aloud(self):
        code, text = self.main(counts={"a": 200.0}, here={**HERE, "compiler": "clang 20"})
        self.assertEqual(code, 77)
        self.assertFalse(self.counted)
        self.assertIn("SKIPPED", text)
        self.assertIn("compiler: here clang 20, baseline clang 19", text)

    def test_a_version_that_was_not_recorded_is_another_one(self):
        self.assertEqual(self.main(counts={}, here={**HERE, "boost": "1"})[0], 77)

    def test_without_valgrind(self):
        code, text = self.main(here=check.CannotCount("valgrind is not installed"))
        self.assertEqual(code, 77)
        self.assertIn("SKIPPED: valgrind is not installed", text)
        self.assertEqual(self.main("--update", here=check.CannotCount("no"))[0], 2)

    def test_update_records_what_there_is(self):
        newer = {**HERE, "compiler": "clang 20"}
        self.assertEqual(self.main("--update", counts={"a": 300.0, "b": 1.0}, here=newer)[0], 0)
        recorded = json.loads(self.baselines.read_text())
        self.assertEqual(recorded["counts"], {"a": 300.0, "b": 1.0})
        self.assertEqual(recorded["made_with"], newer)
        self.assertEqual(self.main(counts={"a": 300.0, "b": 1.0}, here=newer)[0], 0)

    def test_a_program_that_is_not_there(self):
        for program in ("", "/nowhere/stator_instructions"):
            with self.assertRaisesRegex(check.CannotCount, "not built"):
                check.made_with(program)


class RecordedTest(unittest.TestCase):
    def test_the_baselines_are_complete(self):
        recorded = json.loads(check.BASELINES.read_text())
        for case in ("frame_encode", "msgpack_decode", "json_decode", "session_unary", "call_item"):
            self.assertGreater(recorded["counts"][case], 0)
        self.assertLessEqual({"machine", "compiler", "glibc", "valgrind"}, set(recorded["made_with"]))


if __name__ == "__main__":
    unittest.main()
