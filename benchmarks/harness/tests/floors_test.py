import tempfile
import unittest
from pathlib import Path

from harness import floors
from harness.floors import FAIL, NOT_MEASURED, PASS, Floor
from harness.peers import PEERS
from harness.stats import Measured, is_cost

REAL = Path(__file__).resolve().parents[2] / "floors.toml"


def measured(metric: str, *samples: float, errors: float = 0) -> Measured:
    return Measured([{metric: sample, "errors": errors} for sample in samples])


def rate_floor(**ratios: float) -> Floor:
    return Floor("unary1", "requests_per_s", "a rate", 100.0, cost=False, ratios=ratios)


def cost_floor(**ratios: float) -> Floor:
    return Floor("unary1", "p99_us", "a cost", 100.0, cost=True, ratios=ratios)


def outcomes(floor: Floor, **peers: Measured) -> list[tuple[str, str]]:
    return [(verdict.basis, verdict.outcome) for verdict in floors.check_floor(floor, peers)]


def rate(*samples: float, **options) -> Measured:
    return measured("requests_per_s", *samples, **options)


def cost(*samples: float) -> Measured:
    return measured("p99_us", *samples)


class AbsoluteFloorTest(unittest.TestCase):
    def test_rate(self):
        self.assertEqual(outcomes(rate_floor(), stator=rate(90, 100, 101)), [(">= 100", PASS)])
        self.assertEqual(outcomes(rate_floor(), stator=rate(90, 99, 500)), [(">= 100", FAIL)])

    def test_cost(self):
        self.assertEqual(outcomes(cost_floor(), stator=cost(90, 100, 500)), [("<= 100", PASS)])
        self.assertEqual(outcomes(cost_floor(), stator=cost(1, 101, 102)), [("<= 100", FAIL)])

    def test_peers_do_not_matter(self):
        self.assertEqual(
            outcomes(rate_floor(), stator=rate(100, 100, 100), grpc=rate(900, 900, 900)),
            [(">= 100", PASS)],
        )


class RatioFloorTest(unittest.TestCase):
    def test_rate_counts_as_a_ratio_whatever_the_absolute_figure_is(self):
        floor = rate_floor(grpc=2.5)
        slow, fast = rate(10, 10, 10), rate(1000, 1000, 1000)
        self.assertEqual(outcomes(floor, stator=rate(25, 25, 25), grpc=slow), [("2.5x grpc", PASS)])
        self.assertEqual(outcomes(floor, stator=rate(24, 24, 24), grpc=slow), [("2.5x grpc", FAIL)])
        self.assertEqual(
            outcomes(floor, stator=rate(2499, 2499, 2499), grpc=fast), [("2.5x grpc", FAIL)]
        )

    def test_cost(self):
        floor = cost_floor(grpc=4)
        self.assertEqual(
            outcomes(floor, stator=cost(10, 10, 10), grpc=cost(40, 40, 40)), [("4x grpc", PASS)]
        )
        self.assertEqual(
            outcomes(floor, stator=cost(11, 11, 11), grpc=cost(40, 40, 40)), [("4x grpc", FAIL)]
        )

    def test_every_peer_that_is_there_counts(self):
        floor = rate_floor(dynamo=4, grpc=2)
        self.assertEqual(
            outcomes(
                floor, stator=rate(30, 30, 30), grpc=rate(10, 10, 10), dynamo=rate(10, 10, 10)
            ),
            [("4x dynamo", FAIL), ("2x grpc", PASS)],
        )

    def test_an_absent_peer_is_not_measured_and_no_excuse(self):
        floor = rate_floor(dynamo=4, grpc=2)
        self.assertEqual(
            outcomes(floor, stator=rate(30, 30, 30), grpc=rate(10, 10, 10)),
            [("4x dynamo", NOT_MEASURED), ("2x grpc", PASS)],
        )

    def test_without_any_of_its_peers_the_absolute_figure_counts(self):
        floor = rate_floor(dynamo=4)
        self.assertEqual(
            outcomes(floor, stator=rate(99, 99, 99), grpc=rate(1, 1, 1)),
            [("4x dynamo", NOT_MEASURED), (">= 100", FAIL)],
        )
        self.assertEqual(
            outcomes(floor, stator=rate(100, 100, 100)),
            [("4x dynamo", NOT_MEASURED), (">= 100", PASS)],
        )

    def test_a_peer_that_failed_is_not_measured(self):
        floor = rate_floor(grpc=2)
        broken = (
            Measured(failures=["it crashed"]),
            Measured(rate(10, 10, 10).repetitions, ["it crashed once"]),
            rate(10, 10, 10, errors=1),
            rate(10, 10),
            rate(0, 0, 0),
            cost(10, 10, 10),
        )
        for grpc in broken:
            self.assertEqual(
                outcomes(floor, stator=rate(200, 200, 200), grpc=grpc),
                [("2x grpc", NOT_MEASURED), (">= 100", PASS)],
            )


class OursTest(unittest.TestCase):
    def test_nothing_of_ours_is_never_a_pass(self):
        ours = (
            Measured(),
            Measured(failures=["it crashed"]),
            rate(900, 900),
            rate(900, 900, 900, errors=2),
            cost(1, 1, 1),
        )
        for stator in ours:
            self.assertEqual(
                outcomes(rate_floor(grpc=2), stator=stator, grpc=rate(1, 1, 1)),
                [(">= 100", NOT_MEASURED)],
            )
        self.assertEqual(outcomes(rate_floor(), grpc=rate(1, 1, 1)), [(">= 100", NOT_MEASURED)])


class CheckTest(unittest.TestCase):
    def test_judges_only_the_rows_of_the_run(self):
        other = Floor("unary64", "requests_per_s", "another rate", 1.0, cost=False)
        verdicts = floors.check([rate_floor(), other], {"unary1": {"stator": rate(100, 100, 100)}})
        self.assertEqual([verdict.title for verdict in verdicts], ["a rate"])
        self.assertTrue(floors.holds(verdicts))

    def test_a_missed_floor_does_not_hold(self):
        verdicts = floors.check([rate_floor()], {"unary1": {"stator": rate(99, 99, 99)}})
        self.assertFalse(floors.holds(verdicts))

    def test_an_absent_peer_does_no_harm(self):
        results = {"unary1": {"stator": rate(100, 100, 100), "grpc": rate(10, 10, 10)}}
        self.assertTrue(floors.holds(floors.check([rate_floor(dynamo=4, grpc=2)], results)))

    def test_one_missed_ratio_is_a_miss(self):
        results = {
            "unary1": {
                "stator": rate(30, 30, 30),
                "grpc": rate(1, 1, 1),
                "dynamo": rate(10, 10, 10),
            }
        }
        self.assertFalse(floors.holds(floors.check([rate_floor(dynamo=4, grpc=2)], results)))

    def test_our_absence_does_not_hold(self):
        self.assertFalse(
            floors.holds(floors.check([rate_floor()], {"unary1": {"grpc": rate(1, 1, 1)}}))
        )

    def test_another_peer_of_ours_may_be_absent(self):
        ours = {"unary1": {"stator": rate(100, 100, 100), "dynamo": rate(50, 50, 50)}}
        of_another = Floor("unary1", "requests_per_s", "more", 40.0, False, {"dynamo": 2}, "other")
        verdicts = floors.check([rate_floor(), of_another], ours)
        self.assertEqual([verdict.outcome for verdict in verdicts], [PASS, NOT_MEASURED])
        self.assertEqual(verdicts[1].detail, "other: absent")
        self.assertTrue(floors.holds(verdicts))
        self.assertFalse(floors.holds(floors.check([of_another], ours)), "nothing was judged")

    def test_another_peer_of_ours_is_held_to_its_floor(self):
        of_another = Floor("unary1", "requests_per_s", "more", 40.0, False, {"dynamo": 2}, "other")
        for samples, outcome in (((100, 100, 100), PASS), ((99, 99, 99), FAIL), ((9,), NOT_MEASURED)):
            results = {"unary1": {"other": rate(*samples), "dynamo": rate(50, 50, 50)}}
            verdicts = floors.check([of_another], results)
            self.assertEqual([verdict.outcome for verdict in verdicts], [outcome])
            self.assertEqual(floors.holds(verdicts), outcome == PASS)

    def test_failed_calls_of_another_peer_of_ours_are_named(self):
        of_another = Floor("unary1", "requests_per_s", "more", 40.0, False, {}, "other")
        results = {"unary1": {"other": rate(90, 90, 90, errors=1)}}
        verdicts = floors.check([of_another], results)
        self.assertEqual(verdicts[0].title, "every repetition and call of other succeeds")
        self.assertFalse(floors.holds(verdicts))

    def test_nothing_judged_does_not_hold(self):
        self.assertFalse(floors.holds(floors.check([rate_floor()], {"unary64": {}})))

    def test_failed_calls_and_repetitions_of_ours_are_named(self):
        for stator, text in (
            (rate(900, 900, 900, errors=2), "6 calls failed"),
            (Measured(rate(900, 900, 900).repetitions, ["it crashed"]), "it crashed"),
        ):
            verdicts = floors.check([rate_floor()], {"unary1": {"stator": stator}})
            self.assertEqual([verdict.outcome for verdict in verdicts], [FAIL, NOT_MEASURED])
            self.assertEqual(verdicts[0].detail, text)
            self.assertFalse(floors.holds(verdicts))


class LoadTest(unittest.TestCase):
    def load(self, text: str) -> list[Floor]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "floors.toml"
            path.write_text(text)
            return floors.load(path)

    def refused(self, body: str) -> str:
        with self.assertRaises(ValueError) as caught:
            self.load("[[floor]]\n" + body)
        return str(caught.exception)

    def test_reads_a_floor(self):
        text = '[[floor]]\nrow="unary1"\nmetric="p50_us"\ntitle="t"\nat_most=75\nratio={grpc=2.5}\n'
        self.assertEqual(
            self.load(text), [Floor("unary1", "p50_us", "t", 75.0, True, {"grpc": 2.5})]
        )
        (of_another,) = self.load(text.replace("75", "0") + 'peer="stator_dynamo"\n')
        self.assertEqual((of_another.limit, of_another.peer), (0, "stator_dynamo"))

    def test_names_what_is_wrong(self):
        start = 'row="unary1"\nmetric="m"\ntitle="t"\n'
        self.assertIn(
            "no row 'unary2'", self.refused('row="unary2"\nmetric="m"\ntitle="t"\nat_most=1\n')
        )
        self.assertIn("'title' is missing", self.refused('row="unary1"\nmetric="m"\nat_most=1\n'))
        self.assertIn("needs one of", self.refused(start))
        self.assertIn("needs one of", self.refused(start + "at_most=1\nat_least=1\n"))
        self.assertIn("unknown key 'at_mots'", self.refused(start + "at_mots=1\n"))
        self.assertIn("above 0", self.refused(start + "at_least=0\n"))
        self.assertIn("above 0", self.refused(start + "at_most=-1\n"))
        self.assertIn("above 0", self.refused(start + "at_most=false\n"))
        self.assertIn("'peer' is", self.refused(start + "at_most=1\npeer=1\n"))
        self.assertIn("above 0", self.refused(start + 'at_most="1"\n'))
        self.assertIn("above 0", self.refused(start + "at_most=1\nratio={grpc=-1}\n"))

    def test_the_real_file(self):
        real = floors.load(REAL)
        self.assertEqual(len({(floor.row, floor.metric, floor.peer) for floor in real}), len(real))
        self.assertEqual(len({(floor.row, floor.title) for floor in real}), len(real))
        known = {peer.name for peer in PEERS}
        for floor in real:
            self.assertLessEqual({floor.peer, *floor.ratios} - {"tokio"}, known, floor)
        for floor in real:
            self.assertEqual(floor.cost, is_cost(floor.metric), floor.metric)


if __name__ == "__main__":
    unittest.main()
