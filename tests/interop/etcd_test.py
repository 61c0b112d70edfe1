"""Real Dynamo and ours in one etcd: each finds the other there, and sees it go."""

import pathlib
import sys
import time
import unittest

from interop import GENERATE, Pair, TestCase

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "integration"))

from cases import saw  # noqa: E402
from etcd import Etcd  # noqa: E402

TTL = 3


class OverEtcd(TestCase):
    def setUp(self):
        self.etcd = Etcd()
        self.addCleanup(self.etcd.close)

    def pair(self, worker, client):
        pair = Pair(worker, client, "msgpack")
        self.addCleanup(pair.__exit__)
        pair.environment |= {
            "DYN_DISCOVERY_BACKEND": "etcd",
            "ETCD_ENDPOINTS": self.etcd.url,
            "ETCD_LEASE_TTL": str(TTL),
        }
        return pair

    def wait_for_keys(self, wanted, timeout):
        begin = time.monotonic()
        while self.etcd.keys() != wanted:
            self.assertLess(time.monotonic() - begin, timeout, self.etcd.keys())
            time.sleep(0.05)

    def test_a_real_client_finds_our_worker_which_takes_its_record_along(self):
        pair = self.pair(worker=None, client="real")
        worker = pair.serve(GENERATE)
        (identity,) = worker.instance_ids()
        self.wait_for_keys([f"v1/instances/interop/backend/generate/{identity}"], 1)
        seen = saw(pair.exchange({"items": 3}))
        self.assertEqual((seen["outcome"], seen["items"]), ("ok", 3))
        worker.terminate()
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(self.etcd.keys(), [])

    def test_our_client_finds_a_real_worker_and_loses_it_with_its_lease(self):
        pair = self.pair(worker="real", client="stator")
        pair.worker.event("ready")
        served = sorted(listed["endpoint"] for listed in pair.ls())
        self.assertEqual(served, ["converse", "generate"])
        called = pair.call({"items": 2}, endpoint=GENERATE)
        self.assert_ended(called, 0)
        self.assertEqual(len(called.items()), 2)
        pair.worker.kill()
        self.wait_for_keys([], TTL + 2)
        self.assertEqual(pair.ls(), [])


if __name__ == "__main__":
    unittest.main()
