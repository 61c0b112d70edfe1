"""`stator` over etcd: what it writes there, and what it does while etcd is away."""

import json
import os
import time
import unittest
import urllib.error
import urllib.request

from etcd import free_ports, over_etcd
from harness import PATIENCE, TestCase

CLIENT = os.environ["STATOR_CHAOS_CLIENT"]


def eventually(condition, what, timeout=PATIENCE):
    """The first true value of condition(); the time it took."""
    begin = time.monotonic()
    while not (value := condition()):
        if time.monotonic() - begin > timeout:
            raise AssertionError(f"no sign in {timeout} s of {what}")
        time.sleep(0.02)
    return value, time.monotonic() - begin


class Discovery(TestCase):
    def setUp(self):
        self.etcd, self.members = over_etcd(
            self, ETCD_LEASE_TTL="2", DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS="0"
        )

    def test_serve_list_call_watch_and_doctor(self):
        worker = self.members.serve()
        (instance,) = worker.instance_ids()
        key = f"v1/instances/demo/backend/generate/{instance}"
        self.assertEqual(self.etcd.keys(), [key])
        record = json.loads(self.etcd.control("get", "--print-value-only", key))
        self.assertEqual(record["type"], "Endpoint")
        self.assertEqual(f"{record['instance_id']:x}", instance)
        self.assertTrue(record["transport"]["tcp"].startswith("127.0.0.1:"), record)
        (listed,) = self.members.ls()
        self.assertEqual(listed["instance_id"], instance)
        called = self.members.call({"items": 2})
        self.assert_ended(called, 0)
        self.assertEqual([item["worker"] for item in called.items()], [instance] * 2)
        watch = self.members.start("watch")
        watch.stdout.wait_for(instance)
        checked = self.members.run("doctor", "--json")
        self.assert_ended(checked, 0)
        self.assertIn('"etcd"', checked.stdout.text())
        worker.terminate()
        self.assertEqual(worker.wait(), 0, worker.stderr_tail())
        # Gone before the process was.
        self.assertEqual(self.etcd.keys(), [])
        watch.stdout.wait_for("removed")

    def test_a_killed_worker_is_gone_with_its_lease(self):
        worker = self.members.serve()
        worker.kill()
        _, took = eventually(lambda: not self.etcd.keys(), "the end of the record")
        self.assertLess(took, 2 + 2)

    def test_a_killed_worker_leaves_routing_at_once(self):
        workers = [self.members.serve() for _ in range(4)]
        client = self.members.start(
            "demo.backend.generate", "4", "100", '{"items":2,"delay_ms":2}', "20", program=CLIENT
        )
        client.stdout.wait_for('"entered"', count=4)
        time.sleep(1)  # it has asked each of them
        took = []
        for number, worker in enumerate(workers[:3], 1):
            killed = worker.kill()
            left = json.loads(client.stdout.wait_for('"left"', count=number).text)
            self.assertEqual(left["left"], worker.instance_ids()[0])
            took.append(left["at"] - killed)
        # Whatever else this machine does meanwhile.
        self.assertLess(min(took), 0.05, took)
        self.assertLess(max(took), 1, took)
        client.terminate()
        self.assertEqual(client.wait(), 0, client.stderr_tail())
        summary = json.loads(client.stdout.text().splitlines()[-1])
        # Only what a worker had accepted went with it.
        self.assertLessEqual(summary["failed"].keys(), {"disconnected"}, summary)
        self.assertGreater(summary["succeeded"], summary["sent"] / 2, summary)

    def test_a_worker_that_was_interrupted_starts_again_at_once(self):
        port = str(free_ports(1)[0])
        for _ in range(3):
            worker = self.members.serve(DYN_TCP_RPC_PORT=port)
            self.assert_ended(self.members.call({"items": 1}), 0)
            worker.interrupt()
            self.assertEqual(worker.wait(), 0, worker.stderr_tail())
            self.assertEqual(self.etcd.keys(), [])

    def test_the_state_of_the_registration_is_in_health_and_metrics(self):
        port = free_ports(1)[0]
        worker = self.members.serve(DYN_SYSTEM_PORT=str(port), DYN_SYSTEM_HOST="127.0.0.1")

        def page(path):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.read().decode()

        def registration():
            (instance,) = json.loads(page("/health"))["instances"]
            return instance["registration"]

        self.assertEqual(registration(), "registered")
        self.assertRegex(page("/metrics"), r'stator_registrations\{.*state="registered"\} 1\n')
        # Another process takes the key, and lets go of it.
        (instance,) = worker.instance_ids()
        key = f"v1/instances/demo/backend/generate/{instance}"
        record = json.loads(self.etcd.control("get", "--print-value-only", key))
        self.assertRegex(record["x_stator"]["epoch"], "^[0-9a-f]{16}$")
        record["x_stator"]["epoch"] = "0123456789abcdef"
        self.etcd.control("put", key, json.dumps(record))
        eventually(lambda: registration() == "recovering", "the loss")
        self.assertRegex(page("/metrics"), r'stator_registrations\{.*state="recovering"\} 1\n')
        self.etcd.control("del", key)
        eventually(lambda: registration() == "registered", "the return")
        self.assertEqual(self.etcd.keys(), [key])

    def test_calls_go_on_while_etcd_is_away_and_the_record_comes_back(self):
        worker = self.members.serve()
        (instance,) = worker.instance_ids()
        load = self.members.start_call(
            {"items": 1, "delay_ms": 5}, "--count", "800", "--concurrency", "1", "--timeout", "60"
        )
        time.sleep(0.3)
        self.etcd.kill()
        time.sleep(2.5)  # longer than the lease
        self.etcd.wipe()
        self.etcd.start()
        eventually(lambda: self.etcd.keys() == [f"v1/instances/demo/backend/generate/{instance}"], "the record")
        self.assert_ended(load, 0)
        self.assertTrue(worker.running())
        said = [line.text for line in worker.stderr.lines if "etcd" in line.text]
        self.assertLess(len(said), 8, said)  # of transitions, not of attempts

    def test_a_start_without_etcd_fails_in_time_and_by_name(self):
        nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
        begin = time.monotonic()
        listed = self.members.run("ls", ETCD_ENDPOINTS=nobody, ETCD_STARTUP_CONNECT_TIMEOUT_SECONDS="1")
        self.assertLess(time.monotonic() - begin, 4)
        self.assert_ended(listed, 3, "unavailable", nobody)
        listed = self.members.run("ls", ETCD_AUTH_PASSWORD="x")
        self.assert_ended(listed, 2, "invalid_request", "ETCD_AUTH_USERNAME")

    def test_one_that_starts_before_etcd_waits_for_it(self):
        self.etcd.kill()
        worker = self.members.start("serve", "demo.backend.generate")
        worker.stderr.wait_for("no member of etcd answers")
        self.etcd.start()
        worker.stderr.wait_for(r"^ready ")

    def test_a_worker_ends_with_its_lease_if_that_is_wished(self):
        for name in ("taken away", "not renewed"):
            with self.subTest(name):
                one = self.members.serve(DYN_WORKER_ON_LEASE_LOST="shutdown")
                other = self.members.serve()
                if name == "taken away":
                    for lease in self.leases():
                        self.etcd.control("lease", "revoke", f"{lease['id']:x}")
                else:
                    self.etcd.pause()
                self.assertEqual(one.wait(), 0, one.stderr_tail())
                self.assertRegex(one.stderr.text(), "the lease of this process is lost")
                self.etcd.resume()
                (instance,) = other.instance_ids()
                key = f"v1/instances/demo/backend/generate/{instance}"
                eventually(lambda: self.etcd.keys() == [key], "the record of the other one")
                other.terminate()
                self.assertEqual(other.wait(), 0, other.stderr_tail())

    def leases(self):
        return json.loads(self.etcd.control("lease", "list", "--write-out=json")).get("leases") or []

    def test_a_lease_is_revoked_when_it_is_told_to_be(self):
        for when, left in {"last": 1, "immediate": 0}.items():
            with self.subTest(when):
                worker = self.members.serve(DYN_WORKER_REVOKE=when)
                load = self.members.start_call({"items": 60, "delay_ms": 50})
                load.stdout.wait_for("worker")
                worker.terminate()
                eventually(lambda: not self.etcd.keys(), "the end of the record")
                worker.stderr.wait_for("finish: ")
                self.assertEqual(len(self.leases()), left)
                self.assert_ended(load, 0)
                self.assertEqual(len(load.items()), 60)
                self.assertEqual(worker.wait(), 0, worker.stderr_tail())
                self.assertEqual(self.leases(), [])

    def test_an_etcd_that_is_away_delays_no_end(self):
        grace = 4
        for name, leave in {"hangs": self.etcd.pause, "is dead": self.etcd.kill}.items():
            for busy in (False, True):
                with self.subTest(name, busy=busy):
                    worker = self.members.serve(DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT=str(grace))
                    if busy:
                        load = self.members.start_call({"items": 1000, "delay_ms": 50})
                        load.stdout.wait_for("worker")
                    leave()
                    asked = worker.terminate()
                    self.assertEqual(worker.wait(), 0, worker.stderr_tail())
                    self.assertLess(time.monotonic() - asked, grace)
                    if busy:
                        load.kill()
                self.etcd.resume() if name == "hangs" else self.etcd.start()
                self.etcd.wait_until_it_works()


if __name__ == "__main__":
    unittest.main()
