"""Workers that die without a word, and workers that leave while they are called."""

import json
import re
import time
import unittest

from harness import TestCase, summary_of

LONG = {"items": 10_000, "delay_ms": 20}


def accepted_by(call, identity):
    """How many of a run's requests that worker accepted."""
    return summary_of(call)["worker"].get(identity, 0)


class Crash(TestCase):
    def test_kill_9(self):
        cluster = self.cluster()
        worker = cluster.serve()
        calls = [cluster.start_call(LONG) for _ in range(3)]
        for call in calls:
            call.stdout.wait_for('"i":0')
        killed = worker.kill()
        for call in calls:
            call.wait()
            self.assertLess(time.monotonic() - killed, 1, "calls must end within a second")
            self.assert_ended(call, 1, "disconnected")
        # Its record is still there; whoever asks gets an answer at once.
        begin = time.monotonic()
        self.assert_ended(cluster.call({}), 3, "unavailable")
        self.assertLess(time.monotonic() - begin, 3)
        # Nobody is left to sweep: `ls` itself must not believe what has run out.
        while (listed := cluster.ls()) and time.monotonic() - killed < 13:
            self.assertEqual([entry["instance_id"] for entry in listed], worker.instance_ids())
            time.sleep(0.2)
        self.assertEqual(listed, [])
        self.assertGreater(time.monotonic() - killed, 5, "the record cannot have run out yet")
        self.assertEqual([path for path in cluster.kv.rglob("*") if "generate" in path.name], [])

    def test_a_crash_under_load_costs_only_what_was_accepted(self):
        cluster = self.cluster()
        victim, survivor = cluster.serve(), cluster.serve()
        call = cluster.start_call(
            {"items": 5, "delay_ms": 10}, "--count", "2000", "--concurrency", "32"
        )
        call.stdout.wait_for(f'"i":4,"worker":"{victim.instance_ids()[0]}"', count=200)
        victim.kill()
        call.wait(60)
        summary = summary_of(call)
        self.assertEqual(summary["requests"], 2000)
        self.assertLessEqual(set(summary["errors"]), {"disconnected"}, summary)
        lost = summary["errors"].get("disconnected", 0)
        self.assertEqual(summary["succeeded"] + lost, 2000)
        self.assertLessEqual(lost, 32)
        # What it had accepted and not finished is what was lost, nothing else. One whose last item came and whose
        # end did not is in both counts.
        finished = sum(1 for item in call.items() if item["i"] == 4 and item["worker"] == victim.instance_ids()[0])
        accepted = accepted_by(call, victim.instance_ids()[0])
        self.assertLessEqual(finished, accepted)
        self.assertLessEqual(accepted, finished + lost)
        self.assertLessEqual(lost, accepted)
        self.assertEqual(call.wait(), 1 if lost else 0)
        if lost:
            self.assertEqual(call.error()["code"], "disconnected")
        again = cluster.call({"items": 1}, "--count", "50")
        self.assertEqual(again.status, 0, again.stderr.text())
        self.assertEqual(summary_of(again)["worker"], {survivor.instance_ids()[0]: 50})

    def test_a_worker_that_leaves_under_load_costs_nothing(self):
        cluster = self.cluster()
        leaving, staying = cluster.serve(), cluster.serve()
        call = cluster.start_call(
            {"items": 5, "delay_ms": 10}, "--count", "2000", "--concurrency", "32"
        )
        call.stdout.wait_for(f'"i":4,"worker":"{leaving.instance_ids()[0]}"', count=200)
        leaving.terminate()
        self.assertEqual(call.wait(60), 0, call.stderr.text())
        self.assertEqual(leaving.wait(), 0, leaving.stderr.text())
        summary = summary_of(call)
        self.assertEqual(summary["succeeded"], 2000)
        self.assertEqual(summary["items"], 10_000)
        self.assertGreater(summary["worker"][staying.instance_ids()[0]], 1000)

    def test_a_worker_that_joins_under_load_gets_its_share(self):
        cluster = self.cluster()
        cluster.serve()
        call = cluster.start_call(
            {"items": 2, "delay_ms": 10}, "--count", "2000", "--concurrency", "16"
        )
        call.stdout.wait_for('"i":1', count=100)
        joined = cluster.serve()
        self.assertEqual(call.wait(60), 0, call.stderr.text())
        self.assertGreater(accepted_by(call, joined.instance_ids()[0]), 100)

    def test_another_process_on_the_port_is_not_the_instance(self):
        # The record of a killed worker names a port that another worker now has: it must say that it is not meant.
        cluster = self.cluster()
        first = cluster.serve()
        port = re.search(r":(\d+)$", cluster.ls()[0]["transports"]["mux"])[1]
        first.kill()
        first.wait()
        second = cluster.serve("demo.backend.generate", DYN_TCP_RPC_PORT=port)
        call = cluster.call({"items": 1}, "--count", "20")
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual(summary_of(call)["worker"], {second.instance_ids()[0]: 20})
        error = self.assert_ended(
            cluster.call({}, "--instance", first.instance_ids()[0]), 1, "not_found"
        )
        self.assertIn(first.instance_ids()[0], json.dumps(error))


if __name__ == "__main__":
    unittest.main()
