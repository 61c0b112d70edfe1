"""Runs the examples of docs/cli.md, docs/etcd.md and docs/store-tools.md: the commands of its console blocks must do what is printed below them."""

import os
import pathlib
import re
import signal
import subprocess
import unittest

from etcd import Etcd
from harness import PATIENCE, STATOR, Cluster, Output

TEST = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)", re.M)
DOCUMENTS = pathlib.Path(__file__).parents[2] / "docs"


def blocks(text):
    """The console blocks as lists of (command, what it prints)."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        steps = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
        yield steps


def shape(line):
    """The line without what differs from run to run: ids, ports, times, rates and the width of columns."""
    line = re.sub(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{9,16}\b", "ID", line)
    line = re.sub(r'"pad":"\.*"', "PAD", line)
    line = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", line)
    line = re.sub(r"\b[\d.]+ (ns|us|ms|s)\b", "TIME", line)
    line = re.sub(r"\b\d+/s\b", "RATE", line)
    line = re.sub(r"\b\d+ \(RATE\)", "COUNT (RATE)", line)
    line = re.sub(r"\b[\d.]+ k?[MG]?B/s", "BANDWIDTH", line)
    return re.sub(r" {2,}", "  ", line)


def without_spaces(code):
    return re.sub(r"\s+", "", code)


class Examples(unittest.TestCase):
    maxDiff = None
    document = DOCUMENTS / "cli.md"
    least = 10

    def settings(self):
        return {}

    def setUp(self):
        self.cluster = Cluster(**self.settings())
        self.addCleanup(self.cluster.__exit__)
        path = f"{pathlib.Path(STATOR).parent}:{os.environ['PATH']}"
        self.environment = self.cluster.environment | {"PATH": path}
        self.status = 0

    def run_in_background(self, command, expected):
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command.removesuffix('&')}"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

        def end():
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE), 0)
            output.text()

        output = Output(process.stderr)
        self.addCleanup(end)
        for line in expected:
            wanted = shape(line)
            output.wait_until(lambda lines: wanted in [shape(seen.text) for seen in lines], wanted)

    def run_in_foreground(self, command, expected):
        done = subprocess.run(
            ["bash", "-c", f"(exit {self.status}); {command}"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
        )
        self.status = done.returncode
        printed = [shape(line) for line in done.stdout.decode().splitlines()]
        self.assertEqual(printed, [shape(line) for line in expected], f"$ {command}")

    def test_every_example(self):
        commands = 0
        for steps in blocks(self.document.read_text()):
            for command, expected in steps:
                with self.subTest(command):
                    commands += 1
                    if command.endswith("&"):
                        self.run_in_background(command, expected)
                    else:
                        self.run_in_foreground(command, expected)
        self.assertGreater(commands, self.least, "the document has lost its examples")


class EtcdExamples(Examples):
    document = DOCUMENTS / "etcd.md"
    least = 2

    def settings(self):
        etcd = Etcd()
        self.addCleanup(etcd.close)
        return {
            "DYN_DISCOVERY_BACKEND": "etcd",
            "ETCD_ENDPOINTS": etcd.url,
            "ETCDCTL_API": "3",
            "ETCDCTL_ENDPOINTS": etcd.url,
        }


class StoreToolsExamples(EtcdExamples):
    document = DOCUMENTS / "store-tools.md"
    least = 3

    def test_every_snippet_is_compiled(self):
        tests = DOCUMENTS.parent / "tests"
        places = ("store/snippets_test.cpp", "store/nats_store_test.cpp", "nats/work_queue_test.cpp", "nats/object_store_test.cpp")
        compiled = without_spaces("".join((tests / place).read_text() for place in places))
        snippets = re.findall(r"^```cpp\n(.*?)^```", self.document.read_text(), re.M | re.S)
        self.assertGreater(len(snippets), 3)
        nats = (DOCUMENTS / "nats.md").read_text()
        snippets += re.findall(r"^```cpp\n(Task<> (?:prefill|snapshots).*?)^```", nats, re.M | re.S)
        for snippet in snippets:
            self.assertIn(without_spaces(snippet), compiled)


class EventsSnippets(unittest.TestCase):
    def test_every_snippet_is_compiled(self):
        compiled = without_spaces((DOCUMENTS.parent / "tests/component/events_test.cpp").read_text())
        snippets = re.findall(r"^```cpp\n(.*?)^```", (DOCUMENTS / "events.md").read_text(), re.M | re.S)
        self.assertGreater(len(snippets), 1)
        for snippet in snippets:
            self.assertIn(without_spaces(snippet), compiled)


class MigrationSnippet(unittest.TestCase):
    def test_it_is_compiled(self):
        compiled = without_spaces((DOCUMENTS.parent / "tests/component/migration_test.cpp").read_text())
        (snippet,) = re.findall(r"^```cpp\n(struct Prompt.*?)^```", (DOCUMENTS / "pipelines.md").read_text(), re.M | re.S)
        self.assertIn(without_spaces(snippet), compiled)


class Claims(unittest.TestCase):
    def test_the_tests_that_show_them_exist(self):
        root = DOCUMENTS.parent / "tests"
        defined = set()
        for path in root.rglob("*.cpp"):
            defined |= {f"{suite}.{name}" for suite, name in TEST.findall(path.read_text())}
        for path in root.rglob("*_test.py"):
            defined |= set(re.findall(r"def (test_\w+)", path.read_text()))
        named = re.findall(r"`([A-Z]\w+\.[A-Z]\w+|test_\w+)`", (DOCUMENTS / "consistency.md").read_text())
        self.assertGreater(len(named), 30)
        self.assertEqual(set(named) - defined, set())


class Completeness(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.__exit__)

    def test_every_command_and_option_is_documented(self):
        text = (DOCUMENTS / "cli.md").read_text()
        commands = "serve call bench ls watch doctor drain resume kv lock barrier nats,info nats,object events config".split()
        for command in commands:
            words = command.split(",")
            self.assertIn(f"## stator {' '.join(words)}\n", text)
            shown = self.cluster.run(*words, "--help").stdout.text()
            for option in re.findall(r"--[a-z-]+", shown):
                if option != "--help":
                    self.assertIn(option, text, f"stator {command}")


if __name__ == "__main__":
    unittest.main()
