"""Everything that can be wrong from outside: one line with a name, and the documented exit status."""

import json
import os
import socket
import subprocess
import time
import unittest

from harness import PATIENCE, STATOR, TestCase

EP = "demo.backend.generate"
COMMANDS = [("serve", EP), ("call", EP, "{}"), ("ls",), ("watch",), ("config",)]


class BadInput(TestCase):
    def assert_one_line(self, program, status, code, says=""):
        error = self.assert_ended(program, status, code, says)
        self.assertEqual(len(program.stderr.text().splitlines()), 1, program.stderr.text())
        self.assertEqual(program.stdout.text(), "")
        return error

    def test_usage(self):
        cluster = self.cluster()
        table = [
            ((), "invalid_request", "a command is missing"),
            (("srve",), "invalid_request", "did you mean serve?"),
            (("benchmark",), "invalid_request", "no command is called"),
            (("bench",), "invalid_request", "endpoint is required"),
            (("call", EP), "invalid_request", "request"),
            (("call", EP, "{}", "--mode", "fastest"), "invalid_request", "least_loaded, peak_ewma and device_aware"),
            (("call", EP, "{}", "--mode", "direct"), "invalid_request", "--instance"),
            (("call", EP, "{}", "--instance", "00ff"), "invalid_request", "--instance"),
            (("watch", "a b"), "invalid_request", "prefix"),
        ]
        for arguments, code, says in table:
            with self.subTest(arguments=arguments):
                self.assert_one_line(cluster.run(*arguments), 2, code, says)

    def test_paths(self):
        cluster = self.cluster()
        for path in ["", "one", "one.two", "a..c", ".a.b.c", "a.b.c.", "a.B.c", "a.b.c!", "a/b/c", "a.b.\xff", "x." * 600]:
            for arguments in [("serve", path), ("call", path, "{}")]:
                with self.subTest(arguments=arguments):
                    self.assert_one_line(cluster.run(*arguments), 2, "invalid_request")

    def test_json(self):
        cluster = self.cluster()
        brackets = 200_000
        table = [
            (b"", "json.syntax"),
            (b"{", "json.syntax"),
            (b'{"a":1,}', "json.syntax"),
            (b"{'a':1}", "json.syntax"),
            (b"{} {}", "json.syntax"),
            (b"nul", "json.syntax"),
            (b"[" * brackets + b"]" * brackets, "json.depth"),
            (b'{"a":' * brackets, "json.depth"),
            (b'{"items":18446744073709551616}', "json.number"),
            (b"1e400", "json.number"),
            (b'{"text":"\xff"}', "json.utf8"),
            (b'{"items":1,"items":2}', "json.duplicate_key"),
        ]
        for text, detail in table:
            with self.subTest(text=text[:40]):
                program = cluster.run("call", EP, "-", stdin=text)
                error = self.assert_one_line(program, 2, "invalid_request")
                self.assertEqual(error["detail"], detail)
        # The same on the command line.
        self.assert_one_line(cluster.call("[" * 60_000), 2, "invalid_request")
        self.assert_one_line(cluster.call("{"), 2, "invalid_request")

    def test_large_requests(self):
        cluster = self.cluster()
        cluster.serve()
        huge = b'{"text":"' + b"x" * (33 << 20) + b'"}'
        self.assert_one_line(cluster.run("call", EP, "-", stdin=huge), 1, "payload_too_large")
        large = b'{"items":1,"text":"' + b"x" * (3 << 20) + b'"}'
        limit = {"DYN_MUX_MAX_MESSAGE_SIZE": str(1 << 20)}
        program = cluster.run("call", EP, "-", stdin=large, **limit)
        self.assert_one_line(program, 1, "payload_too_large")

    def test_large_items(self):
        cluster = self.cluster()
        cluster.serve()
        call = cluster.call({"items": 1, "size": 70_000_000})
        self.assert_one_line(call, 1, "payload_too_large")
        # The connection and the worker are none the worse.
        call = cluster.call({"items": 1, "size": 40_000_000})
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual(len(call.stdout.text()), 40_000_001)

    def test_unknown_endpoint(self):
        cluster = self.cluster()
        cluster.serve()
        call = cluster.call({}, "--timeout", "0.3", endpoint="demo.backend.generat")
        self.assert_one_line(call, 3, "unavailable", "demo.backend.generat is")

    def test_unknown_setting(self):
        cluster = self.cluster()
        file = cluster.config_root / "etc" / "stator.toml"
        file.write_text("\n\nmax_bloking_threads = 3\n")
        for arguments in COMMANDS:
            with self.subTest(arguments=arguments):
                error = self.assert_one_line(cluster.run(*arguments), 2, "invalid_request")
                self.assertIn(f"{file}:3", error["message"])
                self.assertIn("max_bloking_threads", error["message"])
                self.assertIn("max_blocking_threads", error["message"].replace("max_bloking_threads", ""))

    def test_bad_settings(self):
        cluster = self.cluster()
        table = [
            ("DYN_RUNTIME_NUM_WORKER_THREADS", "0", "DYN_RUNTIME_NUM_WORKER_THREADS"),
            ("DYN_RUNTIME_NUM_WORKER_THREADS", "many", "many"),
            ("DYN_DISCOVERY_BACKEND", "carrier-pigeon", "carrier-pigeon"),
            ("DYN_LOG", "info,stator=loud", "loud"),
            ("DYN_TCP_RPC_PORT", "65536", "DYN_TCP_RPC_PORT"),
        ]
        for name, value, says in table:
            for arguments in COMMANDS:
                with self.subTest(setting=f"{name}={value}", arguments=arguments):
                    program = cluster.run(*arguments, **{name: value})
                    self.assert_one_line(program, 2, "invalid_request", says)

    def test_a_request_plane_whose_server_is_not_there(self):
        with socket.create_server(("127.0.0.1", 0)) as unused:
            server = f"nats://127.0.0.1:{unused.getsockname()[1]}"
        cluster = self.cluster(
            DYN_REQUEST_PLANE="nats", NATS_SERVER=server, NATS_STARTUP_CONNECT_TIMEOUT_SECONDS="0.2"
        )
        for arguments in [("serve", EP), ("call", EP, "{}")]:
            with self.subTest(arguments=arguments):
                program = cluster.run(*arguments)
                self.assertNotEqual(program.status, 0)
                self.assertEqual(program.error()["code"], "unavailable", program.stderr.text())
                self.assertIn(server, program.error()["message"])
        self.assertEqual(cluster.ls(), [])  # who only looks needs no plane

    def test_unknown_variable_is_one_warning(self):
        cluster = self.cluster()
        program = cluster.run("ls", "--json", DYN_WORKR_GRACEFUL="3")
        self.assertEqual(program.status, 0)
        warnings = program.stderr.text().splitlines()
        self.assertEqual(len(warnings), 1, warnings)
        self.assertIn("DYN_WORKR_GRACEFUL", warnings[0])

    def test_port_in_use(self):
        cluster = self.cluster()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            worker = cluster.start("serve", EP, DYN_TCP_RPC_PORT=port)
            self.assert_ended(worker, 1, "already_exists", port)
        self.assertEqual(worker.instance_ids(), [])
        self.assertEqual(cluster.ls(), [])

    def test_discovery_folder_that_cannot_be_used(self):
        cluster = self.cluster()
        blocking = cluster.config_root / "a-file"
        blocking.write_text("")
        folders = {"below a file": blocking / "kv", "a file": blocking, "in proc": "/proc/stator"}
        if os.geteuid() != 0:
            locked = cluster.config_root / "locked"
            locked.mkdir(mode=0o555)
            folders["no permission"] = locked / "kv"
        for name, folder in folders.items():
            for arguments in [("ls",), ("watch",), ("call", EP, "{}"), ("serve", EP)]:
                with self.subTest(name, arguments=arguments):
                    program = cluster.run(*arguments, DYN_FILE_KV=str(folder))
                    self.assertIn(program.status, (1, 3))
                    error = program.error()
                    self.assertEqual(error["detail"], "store.folder")
                    self.assertIn(str(folder), json.dumps(error))

    def test_corrupt_records_are_skipped_and_reported_once(self):
        cluster = self.cluster()
        worker = cluster.serve()
        (good,) = [path for path in cluster.kv.rglob("*") if path.is_file() and "generate" in path.name]
        bad = good.with_name(good.name.replace(worker.instance_ids()[0], "bad"))
        self.assertNotEqual(bad, good)
        watch = cluster.start("watch")
        watch.stdout.wait_for('"event":"synced"')
        bad.write_bytes(b'{"component":"backend", \xff')
        watch.stderr.wait_for("demo/backend/generate/bad")
        listed = cluster.run("ls", "--json")
        self.assertEqual([entry["instance_id"] for entry in json.loads(listed.stdout.text())], worker.instance_ids())
        self.assertEqual(len(listed.stderr.text().splitlines()), 1, listed.stderr.text())
        call = cluster.call({"items": 1}, "--count", "10")
        self.assertEqual(call.status, 0, call.stderr.text())
        # Seen again and again, said once.
        for _ in range(3):
            bad.write_bytes(b'{"component":"backend", \xff')
            time.sleep(0.3)
        watch.interrupt()
        self.assertEqual(watch.wait(), 0)
        self.assertEqual(watch.stderr.text().count("generate/bad"), 1, watch.stderr.text())

    def test_output_that_cannot_be_written(self):
        cluster = self.cluster()
        cluster.serve()
        for arguments in [("ls",), ("config",), ("--version",), ("call", EP, "{}")]:
            with self.subTest(arguments=arguments), open("/dev/full", "wb") as full:
                done = subprocess.run(
                    [STATOR, *arguments],
                    env=cluster.environment,
                    stdout=full,
                    stderr=subprocess.PIPE,
                    timeout=PATIENCE,
                )
                self.assertIn(done.returncode, (1, 6), done.stderr)
                error = json.loads(done.stderr.decode().splitlines()[-1])["error"]
                self.assertEqual(error["detail"], "cli.output")


if __name__ == "__main__":
    unittest.main()
