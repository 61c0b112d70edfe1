import unittest

from harness.rows import select


class Rows(unittest.TestCase):
    def test_the_cold_start_of_paced_streams_is_over_when_the_window_opens(self):
        (paced,) = select("paced512")
        self.assertEqual(paced.warmup(0.4), 1.2, "one and a half of 40 x 20 ms")
        self.assertEqual(paced.warmup(3), 3)
        options = paced.client_options(2, 0.4)
        self.assertEqual(options[options.index("--warmup") + 1], "1.2")

    def test_others_warm_up_as_asked(self):
        for row in select("unary1,stream64,bulk1m"):
            with self.subTest(row.name):
                self.assertEqual(row.warmup(0.4), 0.4)


if __name__ == "__main__":
    unittest.main()
