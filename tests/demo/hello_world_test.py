#!/usr/bin/env python3
"""Runs examples/hello_world as the README says. Arguments: the server's and the client's program."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

CLIENT = sys.argv.pop()
SERVER = sys.argv.pop()
BOUND = 30  # seconds for anything


def environment(folder: str) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("DYN_", "ETCD_", "NATS_"))}
    return {
        **own,
        "DYN_CONFIG_ROOT": f"{folder}/no-settings",
        "DYN_DISCOVERY_BACKEND": "file",
        "DYN_FILE_KV": f"{folder}/discovery",
    }


class HelloWorldTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="stator-hello-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.environment = environment(folder.name)

    def start_server(self) -> subprocess.Popen:
        with open(f"{self.folder}/server.log", "ab") as log:
            server = subprocess.Popen(
                [SERVER], env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        return server

    def run_client(self) -> subprocess.CompletedProcess:
        return subprocess.run(
            [CLIENT],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=BOUND,
            check=False,
        )

    def records(self) -> list[Path]:
        return [path for path in Path(self.folder, "discovery").rglob("*") if path.is_file()]

    def test_client_finds_server_and_prints_what_it_streams(self):
        server = self.start_server()
        for _ in range(3):
            client = self.run_client()
            self.assertEqual((client.returncode, client.stderr), (0, client.stderr), client.stderr)
            self.assertEqual(client.stdout, "h e l l o   w o r l d \n")
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(BOUND), 0, Path(self.folder, "server.log").read_text())
        instances = [path for path in self.records() if "instances" in str(path)]
        self.assertEqual(instances, [])

    def test_a_client_that_finds_nobody_says_so_and_fails(self):
        began = time.monotonic()
        client = self.run_client()
        self.assertEqual(client.returncode, 1)
        self.assertEqual(client.stdout, "")
        self.assertIn("demo.backend.generate", client.stderr)
        self.assertLess(time.monotonic() - began, 15)


if __name__ == "__main__":
    unittest.main()
