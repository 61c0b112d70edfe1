"""`stator nats info`, and who connects to NATS at all."""

import json
import signal
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


if __name__ == "__main__":
    unittest.main()
