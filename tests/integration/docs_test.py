"""Runs the examples of docs/cli.md: the commands of its console blocks must do what is printed below them."""

import os
import pathlib
import re
import signal
import subprocess
import unittest

from harness import PATIENCE, STATOR, Cluster, Output

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "cli.md"


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


class Examples(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.cluster = Cluster()
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
        for steps in blocks(DOCUMENT.read_text()):
            for command, expected in steps:
                with self.subTest(command):
                    commands += 1
                    if command.endswith("&"):
                        self.run_in_background(command, expected)
                    else:
                        self.run_in_foreground(command, expected)
        self.assertGreater(commands, 10, "the document has lost its examples")

    def test_every_command_and_option_is_documented(self):
        text = DOCUMENT.read_text()
        for command in ["serve", "call", "bench", "ls", "watch", "doctor", "config"]:
            self.assertIn(f"## stator {command}\n", text)
            shown = self.cluster.run(command, "--help").stdout.text()
            for option in re.findall(r"--[a-z-]+", shown):
                if option != "--help":
                    self.assertIn(option, text, f"stator {command}")


if __name__ == "__main__":
    unittest.main()
