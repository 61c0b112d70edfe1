"""Reading what the kernel counted."""

import unittest

from harness.counters import Loopback, PerOperation, parse_perf
from harness.process import PeerFailed

PERF = """# started on Sun Nov 22 14:00:00 2026

300,,raw_syscalls:sys_enter,1000,100.00,,
100,,syscalls:sys_enter_epoll_wait,1000,100.00,,
200,,syscalls:sys_enter_sendmsg,1000,100.00,,
"""


class PerfTest(unittest.TestCase):
    def test_counts_have_the_names_of_the_calls(self):
        self.assertEqual(parse_perf(PERF), {"all": 300, "epoll_wait": 100, "sendmsg": 200})

    def test_what_was_not_counted_is_no_zero(self):
        for text in ("", "# only a comment\n", PERF.replace("300", "<not counted>")):
            with self.assertRaises(PeerFailed):
                parse_perf(text)


class LoopbackTest(unittest.TestCase):
    def test_a_difference_is_what_went_over_meanwhile(self):
        self.assertEqual(Loopback(900, 9) - Loopback(400, 4), Loopback(500, 5))

    def test_the_device_is_found(self):
        self.assertGreaterEqual(Loopback.now().bytes, 0)


class PerOperationTest(unittest.TestCase):
    def test_everything_is_divided_by_the_operations(self):
        each = PerOperation.of(100, {"client": {"all": 300, "sendmsg": 200, "futex": 1}}, Loopback(5000, 50))
        self.assertEqual(
            str(each), "client 3 system calls (sendmsg 2); 50 bytes and 0.5 segments on the wire"
        )

    def test_nothing_measured_is_an_error(self):
        with self.assertRaises(PeerFailed):
            PerOperation.of(0, {}, Loopback(0, 0))
