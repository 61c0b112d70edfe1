"""Every pairing of a worker and a client, real and ours, sees what the real pair sees.

    matrix_test.py [-v]              the pairings of STATOR_INTEROP_SET (pairwise or full)
    matrix_test.py --record          runs the real pair and writes expected/*.json
"""

import json
import os
import sys
import unittest

from cases import CASES, OURS_EXPECTED, OURS_ONLY
from interop import HERE, Pair

CODECS = ("json", "msgpack")
# (worker, client). `mux` is our client on our own plane: it must tell no difference.
PAIRINGS = (("real", "real"), ("stator", "real"), ("real", "stator"), ("stator", "stator"), ("stator", "mux"))
# Cases that change a Dynamo address or sit on it.
ON_THE_DYNAMO_PLANE_ONLY = {"unknown_path", "in_bytes", "in_pieces", "merged", "stop_in_bytes", "requests_lost"} | {
    name for name in CASES if name.startswith("cut_")
}


def expected_file(codec):
    return HERE / "expected" / f"{codec}.json"


def in_set(number, pairing, codec):
    """Pairwise: each case with each pairing once, the codecs by turns, so that each two of case, worker, client and codec
    meet. The full set has all."""
    in_turn = (number + PAIRINGS.index(pairing)) % 2 == CODECS.index(codec)
    return in_turn or os.environ.get("STATOR_INTEROP_SET") == "full"


def cases_of(pairing):
    cases = dict(CASES) if pairing[1] == "real" else CASES | OURS_ONLY
    if pairing[1] == "mux":
        cases = {name: case for name, case in cases.items() if name not in ON_THE_DYNAMO_PLANE_ONLY}
    return cases


class Pairing(unittest.TestCase):
    maxDiff = None
    pairing = codec = pair = None

    @classmethod
    def setUpClass(cls):
        cls.expected = json.loads(expected_file(cls.codec).read_text())["cases"] | OURS_EXPECTED
        cls.pair = cls.start()
        cls.addClassCleanup(cls.pair.__exit__)

    @classmethod
    def start(cls):
        return Pair(*cls.pairing, cls.codec)

    def check(self, name, case):
        self.assertEqual(case(self.pair), self.expected[name])


def test_of(name, case):
    return lambda self: self.check(name, case)


def add_pairings(suite, loader, base, pairings=PAIRINGS, prefix=(), without=()):
    """A class of tests, derived from `base`, for each pairing and codec."""
    for pairing in pairings:
        for codec in CODECS:
            tests = {
                f"test_{name}": test_of(name, case)
                for number, (name, case) in enumerate(cases_of(pairing).items())
                if name not in without and in_set(number, pairing, codec)
            }
            names = "_".join((*prefix, *pairing, codec))
            # Of the module whose set-up they need.
            about = {"pairing": pairing, "codec": codec, "__module__": base.__module__}
            case_class = type(names, (base,), tests | about)
            suite.addTests(loader.loadTestsFromTestCase(case_class))


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    add_pairings(suite, loader, Pairing)
    return suite


def record():
    for codec in CODECS:
        with Pair("real", "real", codec) as pair:
            seen = {name: case(pair) for name, case in CASES.items()}
        document = {"dynamo_version": "1.6.1", "codec": codec, "cases": seen}
        expected_file(codec).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        record()
    else:
        unittest.main()
