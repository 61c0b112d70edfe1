"""Requests by NATS between a worker and a client, real and ours: the pairings see what the real pair sees by TCP.

    nats_test.py [-v]             the pairings of STATOR_INTEROP_SET (pairwise or full)
"""

import time
import unittest

import matrix_test
from cases import saw
from interop import Pair
from nats import Nats

PAIRINGS = (("real", "real"), ("stator", "real"), ("real", "stator"), ("stator", "stator"))
LIMIT = 8 << 20  # bytes; some requests are larger than the server takes by default

server = None


def setUpModule():
    global server
    server = Nats(f"max_payload: {LIMIT}")
    unittest.addModuleCleanup(server.close)


class NatsPair(Pair):
    def __init__(self, worker, client, codec):
        by_nats = {"DYN_REQUEST_PLANE": "nats", "NATS_SERVER": server.url}
        super().__init__(worker, client, codec, by_nats, by_nats)


class NatsPairing(matrix_test.Pairing):
    @classmethod
    def start(cls):
        return NatsPair(*cls.pairing, cls.codec)

    def test_its_record_names_a_subject(self):
        record = self.pair.record()
        subject = f"interop_backend.generate-{record['instance_id']:x}"
        self.assertEqual(record["transport"], {"nats_tcp": subject})


class Limits(unittest.TestCase):
    """What NATS has beside the cases of all planes."""

    def test_what_is_too_large_for_the_server_is_refused(self):
        for client in ("real", "stator"):
            with self.subTest(client), NatsPair("stator", client, "msgpack") as pair:
                seen = saw(pair.exchange({"items": 1, "text": "." * LIMIT}))
                self.assertEqual(seen["items"], 0)
                self.assertIsNotNone(seen["class"])
                if client == "stator":
                    self.assertEqual(seen["class"], "PayloadTooLarge")
                self.assertEqual(saw(pair.exchange({"items": 2}))["items"], 2)

    def test_a_server_that_comes_back(self):
        for pairing in (("stator", "real"), ("real", "stator"), ("stator", "stator")):
            with self.subTest(pairing), NatsPair(*pairing, "msgpack") as pair:
                self.assertIsNone(saw(pair.exchange({"items": 2}))["class"])
                server.kill()
                server.start()
                # Clients leave a worker alone for 5 s when nobody was at its subject.
                end = time.monotonic() + 20
                while saw(pair.exchange({"items": 2}))["class"] is not None:
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.05)


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    matrix_test.add_pairings(
        suite, loader, NatsPairing, PAIRINGS, ("nats",), matrix_test.ON_THE_DYNAMO_PLANE_ONLY
    )
    suite.addTests(loader.loadTestsFromTestCase(Limits))
    return suite


if __name__ == "__main__":
    unittest.main()
