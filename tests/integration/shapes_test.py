"""Requests that are streams: `stator serve --shape`, `stator call --input`."""

import json
import os
import tempfile
import unittest

from harness import TestCase

EP = "demo.backend.generate"


def lines_of(values):
    return "".join(f"{json.dumps(value)}\n" for value in values)


class Shapes(TestCase):
    def file(self, text):
        handle, name = tempfile.mkstemp(suffix=".jsonl")
        self.addCleanup(os.unlink, name)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        return name

    def test_a_bidirectional_endpoint_answers_each_line(self):
        cluster = self.cluster()
        (identity,) = cluster.serve(EP, "--shape", "bidirectional").instance_ids()
        values = [{"a": 1}, "text", [1, 2.5, None], 7, {}]
        expected = [{"i": i, "worker": identity, "item": value} for i, value in enumerate(values)]
        for text in [lines_of(values), lines_of(values).rstrip("\n"), "\n \n" + lines_of(values)]:
            with self.subTest(text=text):
                call = cluster.run("call", EP, "--input", self.file(text))
                self.assertEqual(call.status, 0, call.stderr.text())
                self.assertEqual(call.items(), expected)
                piped = cluster.run("call", EP, "--input", "-", stdin=text.encode())
                self.assertEqual(piped.status, 0, piped.stderr.text())
                self.assertEqual(piped.items(), expected)
        empty = cluster.run("call", EP, "--input", "/dev/null")
        self.assertEqual((empty.status, empty.stdout.text()), (0, ""), empty.stderr.text())

    def test_lines_are_answered_as_they_come(self):
        cluster = self.cluster()
        cluster.serve(EP, "--shape", "bidirectional")
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb", buffering=0) as pipe, os.fdopen(reading, "rb") as other_end:
            call = cluster.start("call", EP, "--input", f"/proc/{os.getpid()}/fd/{other_end.fileno()}")
            for i in range(5):
                pipe.write(f"{i}\n".encode())
                call.stdout.wait_for(f'"item":{i}}}')
        self.assertEqual(call.wait(), 0, call.stderr.text())

    def test_a_client_streaming_endpoint_sums_up(self):
        cluster = self.cluster()
        (identity,) = cluster.serve(EP, "--shape", "client").instance_ids()
        call = cluster.run("call", EP, "--input", "-", stdin=lines_of(range(100_000)).encode())
        self.assertEqual(call.status, 0, call.stderr.text())
        (answer,) = call.items()
        self.assertEqual((answer["items"], answer["worker"]), (100_000, identity))
        name = self.file(lines_of(range(10)))
        call = cluster.run("call", EP, "--input", name, "--count", "20", "--concurrency", "5")
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual([answer["items"] for answer in call.items()], [10] * 20)

    def test_a_unary_endpoint_answers_once(self):
        cluster = self.cluster()
        (identity,) = cluster.serve(EP, "--shape", "unary").instance_ids()
        call = cluster.call({"items": 5})
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual(call.items(), [{"i": 0, "worker": identity}])

    def test_a_bad_line_is_named(self):
        cluster = self.cluster()
        cluster.serve(EP, "--shape", "bidirectional")
        table = [
            ("1\n2\n{oops\n4\n", "line 3 of"),
            ("{", "line 1 of"),
            ("1\n\n\n1e400", "line 4 of"),
            ("1\n" + "[" * 60_000 + "\n", "line 2 of"),
        ]
        for text, says in table:
            with self.subTest(text=text[:20]):
                call = cluster.run("call", EP, "--input", self.file(text))
                self.assert_ended(call, 2, "invalid_request", says)
                call = cluster.run("call", EP, "--input", "-", stdin=text.encode())
                self.assert_ended(call, 2, "invalid_request", f"{says} stdin")

    def test_a_file_that_cannot_be_read_is_named(self):
        cluster = self.cluster()
        for name in ["/nowhere/input.jsonl", "/"]:
            with self.subTest(name=name):
                cluster.serve(f"demo.x{len(name)}.y", "--shape", "client")
                call = cluster.run("call", f"demo.x{len(name)}.y", "--input", name)
                self.assert_ended(call, 2, "invalid_request", f"cannot read {name}")

    def test_the_wrong_shape_is_named(self):
        cluster = self.cluster()
        cluster.serve("demo.one.way", "--shape", "server")
        cluster.serve("demo.both.ways", "--shape", "bidirectional")
        call = cluster.run("call", "demo.one.way", "--input", "-", stdin=b"{}\n")
        self.assert_ended(call, 1, "invalid_request", "demo.one.way is server streaming")
        self.assertIn("the call is bidirectional", call.error()["message"])
        call = cluster.call({}, endpoint="demo.both.ways")
        self.assert_ended(call, 1, "invalid_request", "demo.both.ways is bidirectional")
        self.assertIn("the call is server streaming", call.error()["message"])

    def test_ctrl_c_while_stdin_says_nothing(self):
        cluster = self.cluster()
        worker = cluster.serve(EP, "--shape", "bidirectional")
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        self.addCleanup(os.close, reading)
        os.write(writing, b"1\n")
        call = cluster.start("call", EP, "--input", f"/proc/{os.getpid()}/fd/{reading}")
        call.stdout.wait_for('"item":1')
        call.interrupt()
        self.assert_ended(call, 6, "cancelled")
        worker.stderr.wait_for("killed after 1 items")

    def test_a_worker_that_ends_lets_its_streams_finish(self):
        cluster = self.cluster()
        worker = cluster.serve(EP, "--shape", "bidirectional", DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT="2")
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        self.addCleanup(os.close, reading)
        os.write(writing, b"1\n")
        call = cluster.start("call", EP, "--input", f"/proc/{os.getpid()}/fd/{reading}")
        call.stdout.wait_for('"item":1')
        worker.terminate()
        self.assertEqual(call.wait(), 0, call.stderr.text())
        self.assertEqual(call.items()[-1]["stopped"], "shutdown")
        self.assertEqual(worker.wait(), 0, worker.stderr.text())


if __name__ == "__main__":
    unittest.main()
