#!/usr/bin/env python3
"""Runs the examples of pipelines and streams. Argument: the folder of their programs."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PROGRAMS = Path(sys.argv.pop())
BOUND = 30  # seconds for anything


def environment(folder: str) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("DYN_", "ETCD_", "NATS_"))}
    return {
        **own,
        "DYN_CONFIG_ROOT": f"{folder}/no-settings",
        "DYN_DISCOVERY_BACKEND": "file",
        "DYN_FILE_KV": f"{folder}/discovery",
    }


def fnv1a(data: bytes) -> str:
    state = 0xCBF29CE484222325
    for byte in data:
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return f"{state:016x}"


class ExamplesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="stator-examples-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.environment = environment(folder.name)

    def start(self, *command: str) -> subprocess.Popen:
        with open(f"{self.folder}/{len(command)}-{command[-1]}.log", "ab") as log:
            server = subprocess.Popen(
                [PROGRAMS / command[0], *command[1:]], env=self.environment, stdout=log, stderr=log
            )
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        return server

    def ask(self, *command: str, sent: bytes = b"") -> str:
        client = subprocess.run(
            [PROGRAMS / command[0], *command[1:]],
            env=self.environment,
            input=sent,
            capture_output=True,
            timeout=BOUND,
            check=False,
        )
        self.assertEqual(client.returncode, 0, client.stderr.decode())
        return client.stdout.decode()

    def stop(self, server: subprocess.Popen):
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(BOUND), 0)

    def test_chat(self):
        server = self.start("chat_server")
        self.assertEqual(
            self.ask("chat_client").splitlines(),
            [
                "< hello, who are you?",
                "> Ada",
                "< nice to meet you, Ada",
                "> how do you do?",
                '< 1: you said "how do you do?"',
                "> what is this?",
                '< 2: you said "what is this?"',
                "< goodbye, Ada",
            ],
        )
        self.stop(server)

    def test_upload(self):
        server = self.start("upload_server")
        for size in (0, 1, 300_000):
            data = bytes((i * 31 + i // 251) % 256 for i in range(size))
            pieces = -(-size // 65536)
            answer = self.ask("upload_client", sent=data)
            self.assertEqual(answer, f"{size} bytes in {pieces} pieces, {fnv1a(data)}\n")
        self.stop(server)

    def test_pipeline(self):
        model = self.start("pipeline_example", "generate")
        front = self.start("pipeline_example", "front")
        words = ["ask", "the", "model", "the", "same"]
        answer = self.ask("pipeline_example", "ask", *words)
        self.assertEqual(answer.split(), words[::-1])
        # Another model takes over when the first one has gone.
        other = self.start("pipeline_example", "generate")
        self.stop(model)
        deadline = time.monotonic() + BOUND
        while self.ask("pipeline_example", "ask", "a", "b").split() != ["b", "a"]:
            self.assertLess(time.monotonic(), deadline)
        for server in (front, other):
            self.stop(server)


if __name__ == "__main__":
    unittest.main()
