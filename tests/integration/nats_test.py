"""`stator nats info`, `stator nats object`, and who connects to NATS at all."""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import signal
import tempfile
import time
import unittest

from harness import PATIENCE, TestCase
from nats import Nats


class Info(TestCase):
    def info(self, server, *arguments, **settings):
        return self.cluster(DYN_DISCOVERY_BACKEND="file", NATS_SERVER=server.url, **settings).run("nats", "info", *arguments)

    def server(self, *arguments):
        server = Nats(*arguments)
        self.addCleanup(server.close)
        return server

    def worker(self, server):
        """One that asks by this server, with 4 s for its end."""
        members = self.cluster(
            DYN_DISCOVERY_BACKEND="file",
            NATS_SERVER=server.url,
            DYN_REQUEST_PLANE="nats",
            DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT="4",
        )
        return members.start("serve", "ns.comp.ep")

    def test_what_the_server_is(self):
        server = Nats.with_jetstream()
        self.addCleanup(server.close)
        told = self.info(server, "--json")
        self.assertEqual(told.status, 0, told.stderr.text())
        object = json.loads(told.stdout.text())
        self.assertEqual((object["server"], object["jetstream"], object["max_payload"]), (server.url, True, 1 << 20))
        self.assertRegex(object["version"], r"^\d+\.\d+\.")
        self.assertGreater(object["round_trip_ms"], 0)
        self.assertEqual(object["services"], [])
        plain = self.info(self.server("server_name: here\nmax_payload: 2000"))
        self.assertEqual(plain.status, 0, plain.stderr.text())
        self.assertRegex(plain.stdout.text(), r"(?m)^name +here$")
        self.assertRegex(plain.stdout.text(), r"(?m)^jetstream +no$")
        self.assertRegex(plain.stdout.text(), r"(?m)^max payload +2000 bytes$")

    def test_who_serves_there(self):
        server = self.server()
        members = self.cluster(DYN_DISCOVERY_BACKEND="file", NATS_SERVER=server.url, DYN_REQUEST_PLANE="nats")
        worker = members.start("serve", "ns.comp.ep", "--instances", "2")
        worker.stderr.wait_for("serving|registered|ready")
        called = members.run("call", "ns.comp.ep", "{}", "--plane", "dynamo")
        self.assertEqual(called.status, 0, called.stderr.text())
        end = time.monotonic() + PATIENCE  # services have a bounded time to answer
        while not (services := json.loads(members.run("nats", "info", "--json").stdout.text())["services"]):
            self.assertLess(time.monotonic(), end)
        (service,) = services
        self.assertEqual((service["endpoints"], service["requests"], service["errors"]), (2, 1, 0))
        self.assertIn("ns", service["name"])
        # What each endpoint tells of itself.
        self.assertEqual(len(service["data"]), 2)
        for name, data in service["data"].items():
            self.assertEqual(name, "ns_comp-ep-" + data["worker"])
            self.assertEqual(data["max_inflight"], 0)
        plain = members.run("nats", "info").stdout.text()
        self.assertRegex(plain, r"(?m)^ENDPOINT +DATA$")
        self.assertRegex(plain, r'(?m)^ns_comp-ep-[0-9a-f]+ +\{"worker":"[0-9a-f]+","max_inflight":0\}$')

    def test_a_server_that_is_not_there_or_lets_nobody_in(self):
        server = self.server("authorization { token: secret }")
        self.assert_ended(self.info(server), 1, "unauthenticated", "nats.authentication")
        self.assertEqual(self.info(server, NATS_AUTH_TOKEN="secret").status, 0)
        server.kill()
        self.assert_ended(self.info(server, "--timeout", "0.5"), 3, "unavailable", "nats.unreachable")

    def test_a_server_that_hangs_or_is_dead_delays_no_end_beyond_its_deadline(self):
        for signalled in (signal.SIGSTOP, signal.SIGKILL):
            with self.subTest(signalled):
                server = self.server()
                worker = self.worker(server)
                worker.stderr.wait_for("serving|registered|ready")
                server.signal(signalled)
                begun = time.monotonic()
                worker.terminate()
                self.assertEqual(worker.wait(), 0, worker.stderr_tail())
                self.assertLess(time.monotonic() - begun, 4 + 2)

    def test_a_start_that_waits_for_a_server_ends_when_it_is_asked_to(self):
        for signalled in (signal.SIGSTOP, signal.SIGKILL):
            with self.subTest(signalled):
                server = self.server()
                server.signal(signalled)
                worker = self.worker(server)
                time.sleep(0.5)  # it may be anywhere in its start
                begun = time.monotonic()
                worker.terminate()
                worker.wait()
                self.assertLess(time.monotonic() - begun, 4 + 2, worker.stderr_tail())

    def test_who_only_looks_does_not_connect(self):
        server = self.server()
        server.kill()
        members = self.cluster(DYN_DISCOVERY_BACKEND="file", NATS_SERVER=server.url, DYN_REQUEST_PLANE="nats")
        listed = members.run("ls", "--json")
        self.assertEqual((listed.status, json.loads(listed.stdout.text())), (0, []), listed.stderr.text())
        watch = members.start("watch")
        watch.stdout.wait_for("synced|snapshot|{")
        watch.interrupt()
        self.assertEqual(watch.wait(), 0, watch.stderr_tail())
        watched = members.run("kv", "watch", "v1/test/", "--timeout", "0.2")
        self.assertEqual(watched.status, 0, watched.stderr.text())


class Objects(TestCase):
    def setUp(self):
        self.server = Nats.with_jetstream()
        self.addCleanup(self.server.close)
        self.members = self.cluster(DYN_DISCOVERY_BACKEND="file", NATS_SERVER=self.server.url)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="stator-objects-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def object(self, *arguments):
        return self.members.run("nats", "object", *map(str, arguments))

    def done(self, *arguments):
        ended = self.object(*arguments)
        self.assertEqual(ended.status, 0, ended.stderr.text())
        return ended.stdout.text()

    def test_a_file_goes_in_and_comes_out(self):
        content = os.urandom(300_000)
        (self.folder / "in").write_bytes(content)
        self.assertEqual(self.done("put", "things", "a b/c", self.folder / "in"), "")
        (self.folder / "out").write_text("an older file")
        self.assertEqual(self.done("get", "things", "a b/c", self.folder / "out"), "")
        self.assertEqual((self.folder / "out").read_bytes(), content)
        (listed,) = json.loads(self.done("ls", "things", "--json"))
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
        self.assertEqual((listed["name"], listed["size"], listed["chunks"]), ("a b/c", len(content), 3))
        self.assertEqual(listed["digest"], "SHA-256=" + digest)
        self.assertEqual(json.loads(self.done("info", "things", "a b/c", "--json")), listed)
        self.assertRegex(self.done("info", "things", "a b/c"), rf"(?m)^url +{self.server.url}/things/a%20b/c$")
        self.assertRegex(self.done("ls", "things"), r"(?m)^a b/c +300000 +3 +2\d{3}-")
        self.done("rm", "things", "a b/c")
        self.assertEqual(json.loads(self.done("ls", "things", "--json")), [])
        self.done("rm", "things", "--all")

    def test_what_is_not_there(self):
        none = self.folder / "none"
        self.assert_ended(self.object("ls", "things"), 1, "not_found", "nats.bucket_missing")
        self.assert_ended(self.object("get", "things", "a", none), 1, "not_found", "nats.bucket_missing")
        self.assert_ended(self.object("rm", "things", "--all"), 1, "not_found", "nats.bucket_missing")
        self.assert_ended(self.object("put", "things", "a", none), 1, "not_found", "nats.object_file")
        self.done("put", "things", "b", __file__)
        for command in ("info", "rm"):
            self.assert_ended(self.object(command, "things", "a"), 1, "not_found", "nats.object_missing")
        self.assert_ended(self.object("get", "things", "a", none), 1, "not_found", "nats.object_missing")
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assert_ended(self.object("ls", "no.bucket"), 1, "invalid_request", "nats.bucket")
        self.server.kill()
        self.assert_ended(self.object("ls", "things", "--timeout", "0.5"), 3, "unavailable", "nats.unreachable")


if __name__ == "__main__":
    unittest.main()
