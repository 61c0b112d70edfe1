"""The `stator` command beside real Dynamo: it serves a real client, calls a real worker, and lists both."""

import unittest

from cases import LONG, saw
from interop import GENERATE, Pair, TestCase
from peers.canonical import ItemDigest

def digest_of(items):
    digest = ItemDigest()
    for item in items:
        digest.add(item)
    return digest.hex()


class OverCli(TestCase):
    codec = "msgpack"

    def pair(self, worker="real", client="real"):
        pair = Pair(worker, client, self.codec)
        self.addCleanup(pair.__exit__)
        return pair


class Serve(OverCli):
    """`stator serve` and a real client."""

    def setUp(self):
        self.cluster = self.pair(worker=None)
        self.worker = self.cluster.serve(GENERATE)
        (self.identity,) = self.worker.instance_ids()

    def ask(self, request, **options):
        return saw(self.cluster.exchange(request, **options))

    def test_items(self):
        items = [{"i": number, "worker": self.identity, "text": "grüße"} for number in range(3)]
        expected = {"outcome": "ok", "items": 3, "digest": digest_of(items), "class": None}
        self.assertEqual(self.ask({"items": 3, "text": "grüße"}), expected)

    def test_large_items(self):
        seen = self.ask({"items": 3, "size": 1 << 20})
        self.assertEqual((seen["outcome"], seen["items"]), ("ok", 3))

    def test_failure_after_items(self):
        seen = self.ask({"items": 9, "fail_after": 2})
        self.assertEqual((seen["outcome"], seen["items"], seen["class"]), ("error", 2, "Internal"))

    def test_bad_request(self):
        seen = self.ask({"itms": 3})
        self.assertEqual((seen["outcome"], seen["items"], seen["class"]), ("error", 0, "InvalidRequest"))

    def test_over_its_limit(self):
        cluster = self.pair(worker=None)
        cluster.serve(GENERATE, "--max-inflight", "1")
        holding = cluster.begin(LONG)
        cluster.client.event("item", id=holding)
        seen = saw(cluster.exchange({"items": 1}))
        self.assertEqual((seen["outcome"], seen["items"], seen["class"]), ("error", 0, "CapacityExhausted"))

    def test_told_to_end_in_mid_stream(self):
        name = self.cluster.begin({"items": 40, "delay_ms": 20})
        self.cluster.client.event("item", id=name, number=2)
        self.worker.terminate()
        seen = saw(self.cluster.end(name))
        self.assertEqual((seen["outcome"], seen["items"]), ("ok", 40))
        self.assertEqual(self.worker.wait(), 0)


class Call(OverCli):
    """`stator call --plane dynamo` and a real worker."""

    def setUp(self):
        self.cluster = self.pair()
        self.worker = self.cluster.worker

    def ask(self, request, *options, endpoint=GENERATE):
        return self.cluster.call(request, "--plane", "dynamo", *options, endpoint=endpoint)

    def test_items(self):
        call = self.ask({"items": 3, "text": "grüße"})
        self.assert_ended(call, 0)
        self.assertEqual(call.items(), [{"i": number, "text": "grüße"} for number in range(3)])

    def test_exact_values(self):
        values = [2**64 - 1, -(2**63), 2**53 + 1, 0.1, 1e300, {"nested": [None, True, "😀"]}]
        call = self.ask({"values": values})
        self.assert_ended(call, 0)
        self.assertEqual(digest_of(call.items()), digest_of(values))

    def test_errors(self):
        for fail, code in (("invalid", "invalid_request"), ("internal", "internal")):
            with self.subTest(fail=fail):
                call = self.ask({"items": 3, "fail_after": 1, "fail": fail})
                self.assert_ended(call, 1, code, "as the request asked")
                self.assertEqual(len(call.items()), 1)

    def test_nobody_there(self):
        call = self.ask({"items": 3}, "--timeout", "1", endpoint="interop.backend.nothing")
        self.assert_ended(call, 3, "unavailable", "interop.backend.nothing")

    def test_many(self):
        call = self.ask({"items": 5}, "--count", "200", "--concurrency", "50")
        self.assert_ended(call, 0)
        self.assertEqual(len(call.items()), 1000)

    def test_ctrl_c(self):
        call = self.cluster.start_call(LONG, "--plane", "dynamo", endpoint=GENERATE)
        call.stdout.wait_for('"i":2')
        call.interrupt()
        self.assertEqual(self.worker.event("stopped")["how"], "kill")
        self.assert_ended(call, 6, "cancelled")

    def test_worker_killed(self):
        call = self.cluster.start_call(LONG, "--plane", "dynamo", endpoint=GENERATE)
        call.stdout.wait_for('"i":2')
        self.worker.kill()
        self.assert_ended(call, 1, "disconnected")


class List(OverCli):
    def test_real_worker_is_listed(self):
        cluster = self.pair()
        worker = cluster.worker
        instance = worker.events("ready")[0]["instance"]
        rows = [row for row in cluster.ls() if row["endpoint"] == "generate"]
        self.assertEqual([(row["instance_id"], list(row["transports"])) for row in rows], [(instance, ["tcp"])])


if __name__ == "__main__":
    unittest.main()
