"""Operators take workers off line and put them back, by the command line and by the status server."""

import json
import pathlib
import sys
import unittest

from etcd import over_etcd
from harness import PATIENCE, TestCase, summary_of

sys.path.append(str(pathlib.Path(__file__).parent.parent / "interop"))
from certificates import Certificates  # noqa: E402

EP = "demo.backend.generate"
ALLOWED = {"DYN_WORKER_REMOTE_CONTROL": "1"}
SYSTEM = {"DYN_SYSTEM_PORT": "0", "DYN_SYSTEM_HOST": "127.0.0.1"}
ENDLESS = {"items": 1_000_000_000, "delay_ms": 20}


def states(cluster):
    return {each["instance_id"]: each["state"] for each in cluster.ls()}


class OverFiles(TestCase):
    def members(self):
        return self.cluster()

    def order(self, cluster, *arguments, **settings):
        done = cluster.run(*arguments, **settings)
        self.assertEqual(done.status, 0, done.stderr.text())
        return done.items()

    def test_an_instance_an_endpoint_a_process(self):
        cluster = self.members()
        worker = cluster.serve(instances=2, **ALLOWED)
        other = cluster.serve(**ALLOWED)
        first, second = worker.instance_ids()
        (third,) = other.instance_ids()
        running = cluster.start_call({"items": 30, "delay_ms": 50}, "--instance", first)
        running.stdout.wait_for('"i":0')

        (line,) = self.order(cluster, "drain", EP, "--instance", first)
        self.assertEqual(
            line, {"endpoint": EP, "instance_id": first, "state": "draining", "requests": 1}
        )
        self.assertEqual(states(cluster), {first: "draining", second: "ready", third: "ready"})
        called = cluster.call({"items": 1}, "--count", "20")
        self.assertEqual(set(summary_of(called)["worker"]), {second, third})
        self.assertEqual(running.wait(), 0, "what ran is finished")
        self.assertEqual(len(running.items()), 30)

        self.order(cluster, "drain", "--process", second)
        self.assertEqual(states(cluster), {first: "draining", second: "draining", third: "ready"})
        self.assertEqual(len(self.order(cluster, "drain", EP)), 3)
        self.assertEqual(set(states(cluster).values()), {"draining"})
        self.assert_ended(cluster.call({"items": 1}, "--timeout", "0.3"), 3, "unavailable")

        self.order(cluster, "resume", "--process", first)
        self.assertEqual(states(cluster), {first: "ready", second: "ready", third: "draining"})
        self.order(cluster, "resume", EP)
        self.assertEqual(set(states(cluster).values()), {"ready"})
        called = cluster.call({"items": 1}, "--count", "20")
        self.assertEqual(set(summary_of(called)["worker"]), {first, second, third})

        self.order(cluster, "drain", EP, "--instance", third)
        other.terminate()
        self.assertEqual(other.wait(), 0, other.stderr.text())
        self.assertEqual(states(cluster), {first: "ready", second: "ready"})

    def test_nobody_notices(self):
        cluster = self.members()
        workers = [cluster.serve(**ALLOWED) for _ in range(2)]
        load = cluster.start_call({"items": 5, "delay_ms": 20}, "--count", "400", "--concurrency", "8")
        load.stdout.wait_for('"i":0')
        while load.running():
            for worker in workers:
                (instance,) = worker.instance_ids()
                self.order(cluster, "drain", EP, "--instance", instance)
                self.order(cluster, "resume", EP, "--instance", instance)
        self.assertEqual(load.wait(), 0, load.stderr.text())
        self.assertEqual(summary_of(load)["items"], 2000)


class OverEtcd(OverFiles):
    def members(self):
        return over_etcd(self)[1]


class Refusals(TestCase):
    def test_who_takes_no_orders(self):
        cluster = self.cluster()
        worker = cluster.serve(**SYSTEM)
        (instance,) = worker.instance_ids()
        said = "DYN_WORKER_REMOTE_CONTROL is not set"
        for what in ((EP,), (EP, "--instance", instance), ("--process", instance)):
            for order in ("drain", "resume"):
                with self.subTest(order=order, what=what):
                    self.assert_ended(cluster.run(order, *what), 1, "permission_denied", said)
        for path in ("/drain", "/resume"):
            status, text = worker.ask(path, "POST")
            self.assertEqual((status, json.loads(text)["error"]["code"]), (403, "permission_denied"))
        self.assertEqual(states(cluster), {instance: "ready"})

    def test_what_is_not_there(self):
        cluster = self.cluster()
        self.assert_ended(cluster.run("drain", EP), 1, "not_found", EP)
        cluster.serve(**ALLOWED)
        self.assert_ended(cluster.run("drain", EP, "--instance", "1"), 1, "not_found", "instance 1 of")
        self.assert_ended(cluster.run("resume", "--process", "1"), 1, "not_found", "instance 1 is not")

    def test_wrong_usage(self):
        cluster = self.cluster()
        for wrong in ((), (EP, "--process", "1"), ("--process", "1", "--instance", "2"), ("a.b",), (EP, "--instance", "x")):
            for order in ("drain", "resume"):
                with self.subTest(order=order, wrong=wrong):
                    self.assert_ended(cluster.run(order, *wrong), 2, "invalid_request")

    def test_under_tls_who_has_a_certificate(self):
        with Certificates() as made:
            server, mutual = made.server(), made.mutual()
            cluster = self.cluster()
            worker = cluster.serve(**server, **ALLOWED)
            (instance,) = worker.instance_ids()
            refused = cluster.run("drain", EP, **server)
            self.assert_ended(refused, 1, "permission_denied", "DYN_TCP_TLS_CLIENT_CA_CERT_PATH")
            self.assertEqual(states(cluster), {instance: "ready"})
            cluster = self.cluster()
            worker = cluster.serve(**mutual, **ALLOWED)
            (instance,) = worker.instance_ids()
            self.assertEqual(cluster.run("drain", EP, **mutual).status, 0)
            self.assertEqual(states(cluster), {instance: "draining"})


class StatusServer(TestCase):
    def test_a_process_drains_itself(self):
        cluster = self.cluster()
        worker = cluster.serve(**SYSTEM, **ALLOWED)
        (instance,) = worker.instance_ids()
        call = cluster.start_call(ENDLESS)
        call.stdout.wait_for('"i":0')
        status, text = worker.ask("/drain", "POST")
        self.assertEqual(status, 200, text)
        (drained,) = json.loads(text)["instances"]
        self.assertEqual((drained["instance_id"], drained["state"], drained["requests"]), (instance, "draining", 1))
        status, text = worker.ask("/ready")
        self.assertEqual(status, 503)
        self.assertIn("taken off line by an operator; 1 requests run", text)
        self.assertEqual(worker.ask("/live")[0], 200)
        self.assertEqual(states(cluster), {instance: "draining"})
        self.assertTrue(call.running())
        body = json.dumps({"endpoint": EP, "instance": instance})
        self.assertEqual(worker.ask("/resume", "POST", body)[0], 200)
        self.assertEqual(worker.ask("/ready")[0], 200)
        self.assertEqual(states(cluster), {instance: "ready"})
        self.assertEqual(worker.ask("/drain")[0], 405)
        self.assertEqual(worker.ask("/drain", "POST", "{")[0], 400)
        self.assertEqual(worker.ask("/drain", "POST", json.dumps({"endpoint": "a.b.c"}))[0], 404)


if __name__ == "__main__":
    unittest.main()
