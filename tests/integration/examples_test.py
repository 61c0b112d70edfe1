"""The examples that live inside applications with loops of their own."""

import pathlib
import unittest

import harness
from harness import TestCase

BIN = pathlib.Path(harness.STATOR).parent


class Examples(TestCase):
    def start(self, cluster, name):
        return cluster.start(program=BIN / name)

    def test_a_server_on_the_applications_own_threads(self):
        cluster = self.cluster()
        server = self.start(cluster, "embedded_io_context")
        for _ in range(3):
            call = cluster.run("call", "demo.embedded.generate", '"abc"')
            self.assertEqual(call.status, 0, call.stderr.text())
            self.assertEqual(call.stdout.text().split(), ['"a"', '"b"', '"c"'])
        server.terminate()
        self.assertEqual(server.wait(), 0, server.stderr.text())
        self.assertRegex(server.stdout.text(), r"^the application goes on: [1-9]\d* beats")

    def test_a_program_that_polls_and_one_without_coroutines(self):
        cluster = self.cluster()
        server = self.start(cluster, "embedded_polling")
        asked = self.start(cluster, "no_coroutines")
        self.assertEqual(asked.wait(), 0, asked.stderr.text())
        self.assertEqual(
            asked.stdout.text().splitlines(), [f"{n}: step after the first" for n in ("one", "two", "three")]
        )
        server.terminate()
        self.assertEqual(server.wait(), 0, server.stderr.text())
        self.assertEqual(server.stdout.text().strip(), "ended after many steps")

    def test_an_actor_behind_an_endpoint(self):
        actor = self.start(self.cluster(), "actor")
        self.assertEqual(actor.wait(), 0, actor.stderr.text())
        self.assertEqual(actor.stdout.text().split(), ["1", "3"])

    def test_nobody_to_ask(self):
        alone = self.start(self.cluster(), "no_coroutines")
        self.assertEqual(alone.wait(), 1)
        self.assertIn("demo.polling.tell", alone.stderr.text())


if __name__ == "__main__":
    unittest.main()
