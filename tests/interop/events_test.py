"""Events between real Dynamo processes and ours, over ZeroMQ and by NATS.

    events_test.py [-v]
"""

import json
import unittest

from interop import GENERATE, HERE, Peers, TestCase, real_python
from nats import Nats

FPM = "forward-pass-metrics"  # what a FpmEventSubscriber listens to


class Events:
    plane = None

    def settings(self):
        return {"DYN_EVENT_PLANE": self.plane, "DYN_EVENT_PLANE_HOST": "127.0.0.1"}

    def setUp(self):
        self.peers = Peers(DYN_DISCOVERY_BACKEND="file", **self.settings())
        self.addCleanup(self.peers.__exit__)

    def start_real(self, role):
        peer = self.peers.start_peer([real_python(), "-B", str(HERE / "peers" / "events.py"), role])
        peer.event("ready")
        return peer

    def test_the_original_is_heard(self):
        listener = self.peers.start("events", "sub", GENERATE, "kv-events", "--count", "20")
        listener.stderr.wait_for('"subscribed"')
        worker = int(self.start_real("publish").event("ready")["instance"], 16)
        self.assertEqual(listener.wait(), 0, listener.stderr_tail())
        heard = [json.loads(line) for line in listener.stdout.text().splitlines()]
        self.assertEqual(len({event["publisher"] for event in heard}), 1)
        first = heard[0]["sequence"]
        self.assertEqual([event["sequence"] for event in heard], list(range(first, first + 20)))
        blocks = []
        for event in heard:
            self.assertEqual(event["topic"], "kv-events")
            for one in event["payload"]:
                self.assertEqual(one["worker_id"], worker)
                blocks += [block["block_hash"] for block in one["event"]["data"]["stored"]["blocks"]]
        self.assertEqual(blocks, list(range(blocks[0], blocks[0] + len(blocks))))
        self.assertGreaterEqual(len(blocks), 20)
        counts = json.loads(listener.stderr.text().splitlines()[-1])
        self.assertEqual((counts["missed"], counts["unreadable"]), (0, 0))

    def test_the_original_hears_ours(self):
        listener = self.start_real("listen")
        options = ("--wait", "0", "--interval", "0.01", "--count", "100000")
        self.peers.start("events", "pub", GENERATE, FPM, '{"n":1}', *options)
        self.assertEqual(listener.event("heard", count=20)["payload"], b"\x81\xa1n\x01".hex())

    def test_the_original_hears_ours_that_came_first(self):
        options = ("--wait", "0", "--interval", "0.01", "--count", "100000")
        self.peers.start("events", "pub", GENERATE, FPM, '{"n":1}', *options)
        listener = self.start_real("listen")
        self.assertEqual(listener.event("heard", count=20)["payload"], b"\x81\xa1n\x01".hex())


class ByZeroMQ(Events, TestCase):
    plane = "zmq"


class ByNats(Events, TestCase):
    plane = "nats"

    def settings(self):
        nats = Nats()
        self.addCleanup(nats.close)
        return super().settings() | {"NATS_SERVER": nats.url}


if __name__ == "__main__":
    unittest.main()
