import unittest

from harness.stats import Measured, Summary, advantage, is_cost


class SummaryTest(unittest.TestCase):
    def test_median_of_odd_and_even_counts(self):
        self.assertEqual(Summary((9, 1, 5)).median, 5)
        self.assertEqual(Summary((1, 9, 3, 5)).median, 4)

    def test_one_wild_sample_does_not_move_the_median(self):
        self.assertEqual(Summary((10, 11, 1_000_000)).median, 11)

    def test_extremes(self):
        summary = Summary((9, 1, 5))
        self.assertEqual((summary.low, summary.high), (1, 9))
        self.assertEqual(summary.as_json(), {"median": 5, "min": 1, "max": 9, "samples": [9, 1, 5]})

    def test_refuses_no_samples(self):
        with self.assertRaises(ValueError):
            Summary(())


class MeasuredTest(unittest.TestCase):
    def test_summary_of_all_repetitions(self):
        measured = Measured([{"rate": 1.0, "p50": 5.0}, {"rate": 3.0}])
        self.assertEqual(measured.summary("rate"), Summary((1.0, 3.0)))

    def test_a_metric_that_one_repetition_lacks_is_no_metric(self):
        measured = Measured([{"rate": 1.0, "p50": 5.0}, {"rate": 3.0}])
        self.assertIsNone(measured.summary("p50"))
        self.assertEqual(measured.metrics(), ["rate"])

    def test_nothing_measured(self):
        self.assertIsNone(Measured().summary("rate"))
        self.assertEqual(Measured().metrics(), [])


class AdvantageTest(unittest.TestCase):
    def test_a_higher_rate_is_better(self):
        self.assertEqual(advantage(Summary((30,)), Summary((10,)), cost=False), 3)

    def test_a_lower_cost_is_better(self):
        self.assertEqual(advantage(Summary((2,)), Summary((10,)), cost=True), 5)
        self.assertEqual(advantage(Summary((10,)), Summary((2,)), cost=True), 0.2)

    def test_compares_medians(self):
        self.assertEqual(advantage(Summary((1, 20, 900)), Summary((0, 10, 11)), cost=False), 2)

    def test_no_quotient_by_zero(self):
        self.assertIsNone(advantage(Summary((5,)), Summary((0,)), cost=False))
        self.assertIsNone(advantage(Summary((0,)), Summary((5,)), cost=True))

    def test_direction_follows_from_the_name(self):
        for name in (
            "p99_us",
            "cpu_us_per_op",
            "spawn_ns",
            "kill_to_unrouted_ms",
            "failures_per_call",
            "client_bytes_per_stream",
            "descriptors",
            "threads_per_core",
            "cold_start_ms",
        ):
            self.assertTrue(is_cost(name), name)
        for name in ("requests_per_s", "items_per_s", "gb_per_s"):
            self.assertFalse(is_cost(name), name)


if __name__ == "__main__":
    unittest.main()
