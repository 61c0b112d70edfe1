import unittest

from harness import report
from harness.floors import PASS, Verdict
from harness.rows import ROWS, select
from harness.stats import Measured, Summary

RUN = {
    "machine": {
        "cores": 2,
        "processor": "a processor",
        "memory_gib": 8,
        "kernel": "6",
        "system": "a system",
        "compiler": "a compiler",
        "rust": "a rustc",
        "grpc": "1",
    },
    "others_cpu_share": {"unary1": 0.25},
    "repetitions": 3,
    "seconds": 2.0,
    "warmup": 0.4,
    "absent": ["stator in local: no file"],
}


class NumberTest(unittest.TestCase):
    def test_four_significant_digits(self):
        for value, text in (
            (0, "0"),
            (0.12345, "0.1235"),
            (12.344, "12.34"),
            (999.94, "999.9"),
            (1234.4, "1 234"),
            (598813, "598 800"),
            (2875531, "2 876 000"),
        ):
            self.assertEqual(report.number(value), text)

    def test_cell(self):
        self.assertEqual(report.cell(None), "-")
        self.assertEqual(report.cell(Summary((3.0, 3.0))), "3")
        self.assertEqual(report.cell(Summary((3.0, 1.0, 9.0))), "**3** (1 - 9)")


class TableTest(unittest.TestCase):
    peers = {
        "stator": Measured([{"requests_per_s": 300.0, "p50_us": 20.0, "errors": 0.0}]),
        "grpc": Measured(
            [{"requests_per_s": 100.0, "p50_us": 50.0, "errors": 0.0}], ["crashed once"]
        ),
    }

    def test_row(self):
        lines = report.row_table(ROWS["unary1"], self.peers).splitlines()
        self.assertEqual(lines[0], "|  | stator | grpc |")
        self.assertIn("| requests/s | 300 | 100 |", lines)
        self.assertEqual(lines[-1], "- grpc: crashed once")
        self.assertNotIn("items/s", "\n".join(lines))

    def test_metrics_that_nobody_has_take_no_line(self):
        self.assertNotIn("p99", report.row_table(ROWS["unary1"], self.peers))
        self.assertEqual(report.row_table(ROWS["unary1"], {}), "No figures.")

    def test_ratios_are_times_better(self):
        lines = report.ratio_table(ROWS["unary1"], self.peers).splitlines()
        self.assertEqual(lines[0], "| stator is better by | grpc |")
        self.assertEqual(lines[2:], ["| requests/s | 3.00x |", "| p50, us | 2.50x |"])

    def test_no_ratios_without_ours(self):
        self.assertIsNone(report.ratio_table(ROWS["unary1"], {"grpc": self.peers["grpc"]}))
        self.assertIsNone(report.ratio_table(ROWS["unary1"], {"stator": self.peers["stator"]}))

    def test_operations_are_listed_as_they_come(self):
        peers = {"tokio": Measured([{"yield_ns": 40.0}]), "stator": Measured([{"yield_ns": 10.0}])}
        self.assertIn("| yield_ns | 40 | 10 |", report.row_table(ROWS["local"], peers))
        self.assertIn("| yield_ns | 4.00x |", report.ratio_table(ROWS["local"], peers))

    def test_whole_report(self):
        verdicts = [Verdict("unary1", "a rate", ">= 1", PASS, "300")]
        text = report.markdown(RUN, {"unary1": self.peers}, verdicts)
        for part in (
            "2 x a processor",
            "Others used 25% of",
            "stator in local: no file",
            "| pass | 300 |",
        ):
            self.assertIn(part, text)
        data = report.as_json(RUN, {"unary1": self.peers}, verdicts)
        self.assertEqual(data["rows"]["unary1"]["stator"]["metrics"]["p50_us"]["median"], 20.0)
        self.assertEqual(data["check"][0]["outcome"], PASS)
        self.assertIsNone(report.as_json(RUN, {}, None)["check"])


class SelectTest(unittest.TestCase):
    def test_select(self):
        self.assertEqual(
            [row.name for row in select("unary64,unary1,unary64")], ["unary64", "unary1"]
        )
        self.assertEqual(len(select("local,all")), len(ROWS))
        with self.assertRaisesRegex(ValueError, "no row 'unary2'"):
            select("unary1,unary2")

    def test_options(self):
        options = ROWS["paced512spread"].client_options(2, 0.4)
        pairs = dict(zip(options[::2], options[1::2]))
        self.assertEqual(pairs["--pace-us"], "20000")
        self.assertEqual(pairs["--spread"], "1")
        self.assertNotIn("--spread", ROWS["paced512"].client_options(2, 0.4))


if __name__ == "__main__":
    unittest.main()
