#!/usr/bin/env python3
"""Runs stator_demo in its quick form, and ends it early in every way. Argument: the program."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

DEMO = sys.argv.pop()
REQUESTS = 300
QUICK = 30  # seconds; 8 where nothing else runs
BOUND = 90


def number(text: str) -> int:
    return int(text.replace(",", ""))


def children_of(parent: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if int(after_name[1]) == parent:
            found.add(int(entry.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class DemoTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="stator-demo-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        # Settings for some other cluster, which must not matter.
        self.environment = {
            **os.environ,
            "TMPDIR": folder.name,
            "DYN_FILE_KV": "/no/such/folder",
            "DYN_REQUEST_PLANE": "nats",
        }

    def run_demo(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [DEMO, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BOUND,
            check=False,
        )

    def start_demo(self) -> tuple[subprocess.Popen, set[int]]:
        """The demo while its streams run, and its workers."""
        demo = subprocess.Popen(
            [DEMO, "--requests", str(REQUESTS)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(demo.stdout.close)
        self.addCleanup(demo.wait)
        self.addCleanup(demo.kill)
        for line in demo.stdout:
            if "streams run" in line:
                break
        workers = children_of(demo.pid)
        self.assertGreaterEqual(len(workers), 3)
        return demo, workers

    def assert_gone(self, workers: set[int]):
        end = time.monotonic() + 5
        while any(map(is_running, workers)) and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual([pid for pid in workers if is_running(pid)], [])

    def test_all_holds_and_the_numbers_add_up_and_the_texts_continue_their_prompts(self):
        began = time.monotonic()
        done = self.run_demo("--requests", str(REQUESTS))
        took = time.monotonic() - began
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("FAILED", done.stdout)
        self.assertNotIn("\x1b", done.stdout)
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 80, done.stdout)
        rows = re.findall(
            r"^ +(\d)  (\w[\w ]*?) +(\d+) +([\d,]+) +([\d.]+)% +([\d,]+) +([\d,]+)  (.*)$",
            done.stdout,
            re.MULTILINE,
        )
        self.assertEqual([row[1] for row in rows], ["stays", "killed", "drained", "joins late"])
        self.assertEqual([row[7] for row in rows], ["exit 0", "SIGKILL", "exit 0", "exit 0"])
        accepted = [number(row[3]) for row in rows]
        completed = [number(row[5]) for row in rows]
        interrupted = [number(row[6]) for row in rows]
        sums = re.search(r"ok  ([\d,]+) requests = ([\d,]+) completed \+ ([\d,]+) interrupted", done.stdout)
        self.assertIsNotNone(sums, done.stdout)
        requests, all_completed, all_interrupted = map(number, sums.groups())
        self.assertGreaterEqual(requests, REQUESTS)
        self.assertEqual(requests, all_completed + all_interrupted)
        self.assertEqual(requests, sum(accepted))
        self.assertEqual(all_completed, sum(completed))
        self.assertEqual(all_interrupted, interrupted[1])
        self.assertGreater(interrupted[1], 0)
        self.assertLessEqual(interrupted[1], accepted[1])
        self.assertEqual(accepted[2], completed[2])
        self.assertGreater(accepted[3], 0)
        self.assertAlmostEqual(sum(float(row[4]) for row in rows), 100, delta=0.3)
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertLess(took, QUICK)
        self.check_texts(done.stdout)

    def check_texts(self, output: str):
        shown = re.split(r"\n\s*\n", output)[2]
        texts = [" ".join(text.split()) for text in re.split(r"\n(?=    (?:The source|Each))", shown)]
        self.assertEqual(len(texts), 3, shown)
        self.assertTrue(texts[0].startswith("You may copy "), texts)
        for text in texts:
            self.assertGreater(len(text.split()), 20)
        # Everybody learns the same, so they say the same next time.
        again = self.run_demo("--requests", "100")
        self.assertEqual(again.returncode, 0, again.stdout)
        self.assertEqual(shown, re.split(r"\n\s*\n", again.stdout)[2])

    def test_a_signal_ends_the_workers_too(self):
        for number_ in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number_.name):
                demo, workers = self.start_demo()
                demo.send_signal(number_)
                self.assertEqual(demo.wait(20), 1)
                self.assertEqual([pid for pid in workers if is_running(pid)], [])
                self.assertEqual(list(self.folder.iterdir()), [])

    def test_workers_do_not_outlive_a_demo_that_is_killed(self):
        demo, workers = self.start_demo()
        demo.kill()
        demo.wait()
        self.assert_gone(workers)

    def test_a_worker_that_dies_unasked_is_found_out(self):
        demo, workers = self.start_demo()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        output = demo.stdout.read()
        self.assertEqual(demo.wait(BOUND), 1, output)
        self.assertIn("FAILED", output)

    def test_usage(self):
        for arguments in (["--requests"], ["--requests", "99"], ["--requests", "1e3"], ["--nonsense", "1"], ["worker"]):
            with self.subTest(arguments):
                done = self.run_demo(*arguments)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertIn("usage:", done.stdout)
        self.assertEqual(self.run_demo("--help").returncode, 0)

    def test_a_corpus_that_cannot_be_used_is_named(self):
        short = self.folder / "short"
        short.write_text("too short")
        for path, what in ((short, "2 words"), (self.folder / "missing", "missing")):
            done = self.run_demo("--corpus", str(path))
            self.assertEqual(done.returncode, 1)
            self.assertEqual(len(done.stdout.splitlines()), 1)
            self.assertIn(what, done.stdout)


if __name__ == "__main__":
    unittest.main()
