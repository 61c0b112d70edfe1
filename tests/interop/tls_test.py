"""TLS and client certificates between a worker and a client, real and ours; outcomes as with the real pair.

    tls_test.py [-v]              the pairings of STATOR_INTEROP_SET (pairwise or full)
    tls_test.py --record          runs the real pair and writes expected/tls.json
"""

import json
import sys
import unittest

from cases import CASES, saw
from certificates import Certificates
from interop import HERE, Pair
from matrix_test import in_set

EXPECTED = HERE / "expected" / "tls.json"
PAIRINGS = (("real", "real"), ("stator", "real"), ("real", "stator"), ("stator", "stator"))
SHORT = 8  # seconds; a call that cannot succeed

# name -> the settings of the worker and of the client
SETTINGS = {
    "tls": lambda made: (made.server(), made.server()),
    "mutual": lambda made: (made.mutual(), made.mutual()),
    "mutual_client_without_certificate": lambda made: (made.mutual(), made.mutual(presents="none")),
    "mutual_client_of_a_stranger": lambda made: (made.mutual(), made.mutual(presents="stranger")),
    "mutual_worker_without_certificate": lambda made: (made.mutual(presents="none"), made.mutual()),
    "client_that_trusts_nobody_here": lambda made: (
        made.server(),
        made.server() | {"DYN_TCP_TLS_CA_CERT_PATH": str(made.foreign.certificate)},
    ),
    "client_without_tls": lambda made: (made.server(), {}),
    "worker_without_tls": lambda made: ({}, made.server()),
}
# These have no certificate to be missed: what goes through them is compared in full.
GOOD = ("tls", "mutual")


def observe(made, name, pairing, codec):
    worker, client = SETTINGS[name](made)
    with Pair(*pairing, codec, worker, client) as pair:
        if name not in GOOD:
            seen = saw(pair.exchange({"items": 3}, timeout=SHORT))
            return {key: seen[key] for key in ("outcome", "items", "class")}
        return {case: CASES[case](pair) for case in ("three_items", "mebibyte_items", "error_after_two", "stop")}


class Tls(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.expected = json.loads(EXPECTED.read_text())["cases"]
        cls.made = cls.enterClassContext(Certificates())

    def check(self, name, pairing, codec):
        seen, expected = observe(self.made, name, pairing, codec), self.expected[name]
        if expected.get("outcome") == "no end" and pairing[1] != "real":
            # The real client waits for ever for a worker that cannot call it back. Ours must not.
            self.assertEqual((seen["outcome"], seen["items"]), ("error", 0), seen)
        else:
            self.assertEqual(seen, expected)


def test_of(name, pairing, codec):
    def test(self):
        self.check(name, pairing, codec)

    return test


for _number, _name in enumerate(SETTINGS):
    for _pairing in PAIRINGS:
        for _codec in ("json", "msgpack"):
            if in_set(_number, _pairing, _codec):
                setattr(Tls, "_".join(("test", _name, *_pairing, _codec)), test_of(_name, _pairing, _codec))


def record():
    with Certificates() as made:
        seen = {name: observe(made, name, ("real", "real"), "msgpack") for name in SETTINGS}
    EXPECTED.write_text(json.dumps({"dynamo_version": "1.6.1", "cases": seen}, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        record()
    else:
        unittest.main()
