"""The whole harness on peers that are small scripts: right and wrong ones, and the exit codes."""

import contextlib
import io
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import run
from harness import machine, peers
from harness.peers import Peer, Setup
from harness.process import PeerFailed, Process, Resources, cpu_seconds
from harness.rows import DYNAMO_PEERS, DYNAMO_ROWS, ROWS

# Waits until it is ended, or burns CPU so that there is some to measure.
SERVER = """
import sys, time
print({first!r}, flush=True)
{body}
"""
CLIENT = """
import json, sys, time
print("measuring", flush=True)
time.sleep(0.05)
print("measured", flush=True)
print(json.dumps({result!r}), flush=True)
"""
RESULT = {
    "peer": "fake",
    "mode": "unary",
    "requests": 100,
    "items": 0,
    "requests_per_s": 20_000.0,
    "p50_us": 50.0,
    "p99_us": None,
    "errors": 0,
    "cpu_client_us_per_op": 3.0,
}
WAIT = "time.sleep(60)"
BURN = "end = time.monotonic() + 60\nwhile time.monotonic() < end: pass"


class Programs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.setup = Setup(0.1, 0.0, self.folder, self.folder)

    def program(self, name: str, text: str):
        path = self.folder / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def rpc_program(self, name: str, server: str | None = None, client: str | None = None):
        server = server or SERVER.format(first="listening 1", body=WAIT)
        client = client or CLIENT.format(result=RESULT)
        indented = [
            "\n".join("    " + line for line in part.splitlines()) for part in (server, client)
        ]
        self.program(
            name, f"import sys\nif sys.argv[1] == 'serve':\n{indented[0]}\nelse:\n{indented[1]}\n"
        )

    def run_rpc(self) -> dict[str, float]:
        return peers.run_rpc(Peer("fake", "fake"), ROWS["unary1"], self.setup)["fake"]

    def failure(self) -> str:
        with self.assertRaises(PeerFailed) as caught:
            self.run_rpc()
        return str(caught.exception)


class RpcTest(Programs):
    def test_adds_the_cpu_of_both_sides(self):
        self.rpc_program("fake", server=SERVER.format(first="listening 1", body=BURN))
        metrics = self.run_rpc()
        self.assertEqual(metrics["requests_per_s"], 20_000)
        self.assertNotIn("p99_us", metrics)
        # It burns all the time: 50 ms for 100 requests, much less when others keep the machine busy.
        self.assertGreater(metrics["cpu_server_us_per_op"], 1)
        self.assertAlmostEqual(metrics["cpu_us_per_op"], metrics["cpu_server_us_per_op"] + 3)

    def test_passes_the_options_of_the_row(self):
        client = CLIENT.replace(
            "{result!r}", "{{'port': int(sys.argv[3]), 'given': len(sys.argv)}}"
        ).format()
        self.rpc_program("fake", client=client)
        metrics = self.run_rpc()
        self.assertEqual((metrics["port"], metrics["given"]), (1, 18))

    def test_discovery_folder_is_shared_and_removed(self):
        first = "listening via discovery"
        body = "import os\nopen(os.environ['DYN_FILE_KV'] + '/server', 'w').close()"
        server = body + SERVER.format(first=first, body=WAIT)
        client = (
            "import os\n"
            + CLIENT.replace(
                "{result!r}", "{{'seen': len(os.listdir(os.environ['DYN_FILE_KV']))}}"
            ).format()
        )
        self.rpc_program("fake", server, client)
        peer = Peer("fake", "fake", discovers=True)
        made = []
        original = tempfile.TemporaryDirectory
        with mock.patch.object(
            peers.tempfile,
            "TemporaryDirectory",
            lambda **options: made.append(original(**options)) or made[-1],
        ):
            result = peers.run_rpc(peer, ROWS["unary1"], self.setup)
        self.assertEqual(result["fake"]["seen"], 1)
        self.assertFalse(os.path.exists(made[0].name))

    def test_names_what_went_wrong(self):
        self.assertIn("does not start", self.failure())
        self.rpc_program("fake", server="print('ready', flush=True)")
        self.assertIn("did not print 'listening <port>' first", self.failure())
        self.rpc_program("fake", server="raise SystemExit('error: no port')")
        self.assertIn("no port", self.failure())
        self.rpc_program("fake", client="raise SystemExit('error: refused')")
        self.assertIn("printed 'None' where 'measuring' was due: error: refused", self.failure())
        self.rpc_program("fake", client=CLIENT.format(result=RESULT).replace("measured", "done"))
        self.assertIn("printed 'done' where 'measured' was due", self.failure())
        self.rpc_program("fake", client=CLIENT.format(result=RESULT) + "\nsys.exit(3)")
        self.assertIn("ended with status 3", self.failure())
        self.rpc_program("fake", client=CLIENT.format(result=RESULT).replace("json.dumps", "str"))
        self.assertIn("instead of a JSON line", self.failure())
        self.rpc_program("fake", client=CLIENT.format(result=[1]))
        self.assertIn("not an object", self.failure())

    def test_tells_the_server_what_the_row_needs(self):
        server = "assert sys.argv[2:] == ['--limit', '64'], sys.argv\n"
        self.rpc_program("fake", server=server + SERVER.format(first="listening 1", body=WAIT))
        peer = Peer("fake", "fake")
        self.assertIn("fake", peers.run_rpc(peer, ROWS["over_limit"], self.setup))
        self.assertIn("did not print", self.failure())

    def test_counts_descriptors_and_threads_of_the_larger_side(self):
        opens = "files = [open('/dev/null') for _ in range(50)]\n"
        self.rpc_program("fake", server=opens + SERVER.format(first="listening 1", body=WAIT))
        metrics = self.run_rpc()
        self.assertGreaterEqual(metrics["descriptors"], 50)
        self.assertLess(metrics["descriptors"], 70)
        self.assertEqual(metrics["threads_per_core"], 1 / len(os.sched_getaffinity(0)))
        self.assertNotIn("client_bytes_per_stream", metrics)

    def test_memory_of_idle_streams_is_what_came_between_the_marks(self):
        size = 100_000_000
        client = CLIENT.replace(
            'time.sleep(0.05)', f"held = b'x' * {size}"
        ).replace('flush=True)\nprint(json', 'flush=True)\ntime.sleep(0.3)\nprint(json')
        self.rpc_program("fake", client=client.format(result=RESULT))
        row = ROWS["idle_streams"]
        metrics = peers.run_rpc(Peer("fake", "fake"), row, self.setup)["fake"]
        expected = size / row.concurrency
        self.assertAlmostEqual(metrics["client_bytes_per_stream"], expected, delta=expected / 10)
        self.assertLess(metrics["server_bytes_per_stream"], expected / 10)

    def test_an_idle_client_must_hold_its_streams(self):
        # Gone, or about to go: the harness must not take nothing for little.
        client = CLIENT.replace('print("measured", flush=True)', 'print("measured", flush=True); sys.exit(1)')
        self.rpc_program("fake", client=client.format(result=RESULT))
        with self.assertRaisesRegex(PeerFailed, "ended while|instead of a JSON line"):
            peers.run_rpc(Peer("fake", "fake"), ROWS["idle_streams"], self.setup)

    def test_a_client_that_hangs_is_ended(self):
        self.rpc_program("fake", client=f"import time\n{WAIT}")
        with mock.patch.object(peers, "CLIENT_SLACK", 0.2):
            began = time.monotonic()
            self.assertIn("printed nothing in time", self.failure())
            self.assertLess(time.monotonic() - began, 30)

    def test_leaves_no_process(self):
        with Process(
            [sys.executable, "-c", f"import time\nprint(1, flush=True)\n{WAIT}"]
        ) as process:
            process.line(time.monotonic() + 10)
            self.assertGreater(cpu_seconds(process.pid), 0)
        with self.assertRaises(ProcessLookupError):
            os.kill(process.pid, 0)


class FailoverTest(Programs):
    CLIENT = """
import json, time
print("measuring", flush=True)
time.sleep(1.3)
print("measured", flush=True)
print(json.dumps({{"failed_unaccepted": 3, "failed_accepted": 6, "errors": 0}}), flush=True)
"""
    SERVER = """
import os, pathlib, signal, sys, time
ended = pathlib.Path({folder!r})
(ended / "began" / str(os.getpid())).touch()
signal.signal(signal.SIGTERM, lambda *_: ((ended / "asked" / str(os.getpid())).touch(), sys.exit()))
print("listening by discovery", flush=True)
time.sleep(60)
"""

    def test_kills_and_replaces_workers(self):
        for name in ("began", "asked"):
            (self.folder / name).mkdir()
        self.rpc_program("fake", self.SERVER.format(folder=str(self.folder)), self.CLIENT.format())
        setup = Setup(1.2 / 4.5 / 3, 0.0, self.folder, self.folder)
        metrics = peers.run_once(Peer("fake", "fake", discovers=True), ROWS["failover"], setup, 1)
        self.assertEqual(
            metrics["fake"],
            {"failed_unaccepted_per_kill": 1, "failed_accepted_per_kill": 2, "errors": 0},
        )
        began = set(os.listdir(self.folder / "began"))
        asked = set(os.listdir(self.folder / "asked"))
        self.assertEqual(len(began), 2 + peers.KILLS)
        self.assertEqual(len(asked), 2, "the others were killed")
        for pid in began:
            with self.assertRaises(ProcessLookupError):
                os.kill(int(pid), 0)

    def test_names_what_went_wrong(self):
        self.rpc_program("fake", server="raise SystemExit('error: no port')")
        with self.assertRaisesRegex(PeerFailed, "no port"):
            peers.run_once(Peer("fake", "fake"), ROWS["failover"], self.setup, 1)


class TwoProgramsTest(Programs):
    def test_each_side_has_its_own(self):
        self.rpc_program("server", client="raise SystemExit('error: the wrong one')")
        given = "assert sys.argv[-2:] == ['--plane', 'dynamo'] and os.environ['PLANE'] == 'quic'\n"
        client = "import os, sys\n" + given + CLIENT.format(result=RESULT)
        self.rpc_program("client", "raise SystemExit('error: the wrong one')", client)
        peer = Peer(
            "mixed",
            "server",
            caller="client",
            call=("--plane", "dynamo"),
            environment=(("PLANE", "quic"),),
        )
        self.assertIn("mixed", peers.run_rpc(peer, ROWS["unary1"], self.setup))
        self.assertEqual(self.setup.missing(peer), [])

    def test_what_is_missing(self):
        peer = Peer("mixed", "stator_server", caller="client")
        setup = Setup(1, 0, self.folder / "ours", self.folder / "theirs")
        self.assertEqual(setup.missing(peer), ["stator_server", "client"])
        self.assertEqual(setup.path("stator_server").parent.name, "ours")
        self.assertEqual(setup.path("client").parent.name, "theirs")


class ColdStartTest(Programs):
    CLIENT = """
import json, os, time
print("waiting", flush=True)
end = time.monotonic() + 20
while not os.path.exists({path!r}) and time.monotonic() < end: time.sleep(0.001)
time.sleep(0.05)
print(json.dumps({{"answered_ns": time.monotonic_ns()}}), flush=True)
os.unlink({path!r})
"""
    SERVER = """
import sys, time
open({path!r}, "w").write(sys.argv[3])
time.sleep(60)
"""

    def cold_start(self, discovers=False):
        peer = Peer("fake", "fake", discovers=discovers)
        with mock.patch.object(peers, "COLD_STARTS", 2):
            return peers.run_once(peer, ROWS["cold_start"], self.setup, 1)["fake"]

    def programs(self, client=CLIENT, server=SERVER):
        path = str(self.folder / "up")
        self.rpc_program("fake", server.format(path=path), client.format(path=path))

    def test_from_the_start_of_the_server_to_the_answer(self):
        self.programs()
        for discovers in (False, True):
            metrics = self.cold_start(discovers)
            self.assertEqual(list(metrics), ["cold_start_ms"])
            self.assertGreater(metrics["cold_start_ms"], 50)
            self.assertLess(metrics["cold_start_ms"], 10_000)

    def test_names_what_went_wrong(self):
        for wrong, right, problem in (
            ('print("waiting"', 'print("ready"', "'waiting' was due"),
            ("answered_ns", "answered", "without 'answered_ns'"),
            ("os.unlink", "os.unlink({path!r}); sys.exit(3) #", "ended with status 3"),
        ):
            self.programs(client="import sys\n" + self.CLIENT.replace(wrong, right))
            with self.assertRaisesRegex(PeerFailed, problem):
                self.cold_start()

    def test_a_free_port_is_free(self):
        with socket.create_server(("127.0.0.1", peers.free_port())):
            pass


class ResourcesTest(unittest.TestCase):
    def test_of_this_process(self):
        mine = Resources.of(os.getpid())
        self.assertGreater(mine.memory, 1_000_000)
        self.assertGreaterEqual(mine.descriptors, 3)
        self.assertGreaterEqual(mine.threads, 1)

    def test_of_one_that_has_ended(self):
        child = subprocess.Popen(["true"])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with self.assertRaises(OSError):
            Resources.of(child.pid)  # not reaped yet
        child.wait()
        with self.assertRaises(OSError):
            Resources.of(child.pid)


class RowsTest(unittest.TestCase):
    def test_who_runs_what(self):
        running = {
            name: {peer.name for peer in peers.PEERS if peer.runs(row)} for name, row in ROWS.items()
        }
        for name in ("bulk64k", "bulk1m"):
            self.assertEqual(
                running[name], {"stator", "grpc", "raw", "dynamo", "dynamo_quic"}, name
            )
        self.assertEqual(running["cold_start"], {"stator", "grpc", "raw", "dynamo"})
        mixed = {"stator_dynamo", "stator_to_dynamo", "dynamo_to_stator"}
        self.assertEqual(running["failover"], {"stator", "dynamo", *mixed})
        for name in DYNAMO_ROWS:
            self.assertLessEqual(set(DYNAMO_PEERS), running[name], name)
        self.assertEqual(running["unary1poll"], {"stator", "grpc", "raw"})
        for name in ("idle_streams", "over_limit"):
            self.assertEqual(running[name], {"stator", "grpc"}, name)

    def test_an_operation_of_bulk_is_a_request(self):
        metrics = peers.with_cpu(ROWS["bulk64k"], {**RESULT, "items": 0}, 1e-3)
        self.assertAlmostEqual(metrics["cpu_us_per_op"], 13)


class OthersTest(unittest.TestCase):
    def test_what_a_child_burns_is_not_the_others(self):
        ticks = [[0] * 8, [150, 0, 0, 40, 10, 0, 0, 0]]
        with (
            mock.patch.object(machine, "_cpu_ticks", side_effect=ticks),
            mock.patch.object(machine, "_own_cpu_seconds", side_effect=[3.0, 4.0]),
            mock.patch.object(machine.os, "sysconf", return_value=100),
        ):
            # 1.5 s of 2.0 s are used, 1.0 s of it by us.
            self.assertEqual(machine.Others().share(), 0.25)

    def test_of_this_machine(self):
        watch = machine.Others()
        time.sleep(0.1)
        self.assertTrue(0 <= watch.share() <= 1)


class LocalTest(Programs):
    LINES = (
        'import sys\nassert sys.argv[1:] == ["--repetitions", "5"]\n'
        'print(\'{"operation":"yield","runtime":"one_worker","ns":40}\')\n'
        'print(\'{"operation":"yield","runtime":"current_thread","ns":30}\')\n'
    )

    def test_runtimes_are_told_apart(self):
        self.program("fake", self.LINES)
        result = peers.run_local(Peer("tokio", "fake"), 5, self.setup)
        self.assertEqual(result, {"tokio": {"yield_ns": 40}, "tokio_ct": {"yield_ns": 30}})

    def test_a_program_that_does_more_is_told_what_is_wanted(self):
        self.program("fake", self.LINES.replace("[1:] == [", "[1:] == ['local', "))
        result = peers.run_local(Peer("dynamo", "fake", call=("local",)), 5, self.setup)
        self.assertEqual(result["dynamo"], {"yield_ns": 40})

    def test_names_what_went_wrong(self):
        for text, problem in (
            ("pass", "printed no result"),
            ("print(1)", "not an object"),
            ("print('{}')", "without 'operation' and 'ns'"),
            (self.LINES + "sys.exit(1)", "ended with status 1"),
        ):
            self.program("fake", text)
            with self.assertRaisesRegex(PeerFailed, problem):
                peers.run_local(Peer("tokio", "fake"), 5, self.setup)


class MainTest(Programs):
    def main(self, *arguments: str) -> tuple[int, str]:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
            try:
                code = run.main(
                    ["--bin", str(self.folder), "--seconds", "0.1", "--warmup", "0", *arguments]
                )
            except SystemExit as ended:
                code = ended.code
        return code, output.getvalue()

    def rpc_peers(self, ours: float, raw: float):
        for name, rate in (("stator_bench_rpc", ours), ("bench_peer_raw", raw)):
            result = {**RESULT, "requests_per_s": rate, "p50_us": 1e6 / rate}
            self.rpc_program(name, client=CLIENT.format(result=result))

    def test_held(self):
        self.rpc_peers(ours=24_000, raw=30_000)
        code, text = self.main("unary1", "--check")
        self.assertEqual(code, 0, text)
        self.assertIn("| unary1 | unary, 1 in flight | 0.74x raw | pass |", text)
        self.assertIn("| unary1 | unary, 1 in flight | 3.2x dynamo | not measured |", text)
        self.assertIn("grpc in unary1: no bench_peer_grpc", text)

    def test_missed(self):
        self.rpc_peers(ours=20_400, raw=30_000)
        code, text = self.main("unary1", "--check")
        self.assertEqual(code, 1)
        self.assertIn("| unary1 | unary, 1 in flight | 0.74x raw | fail | 0.68x", text)

    def test_without_check_a_miss_is_only_reported(self):
        self.rpc_peers(ours=20_400, raw=30_000)
        self.assertEqual(self.main("unary1")[0], 0)

    def test_the_comparison_with_the_original(self):
        self.rpc_peers(ours=24_000, raw=30_000)
        code, text = self.main("--dynamo", "unary16", "--repetitions", "1")
        self.assertEqual(code, 0)
        self.assertIn("|  | stator | stator_dynamo |", text)
        self.assertIn("- dynamo in unary16: no bench_peer_dynamo", text)
        self.assertIn("- dynamo_to_stator in unary16: no bench_peer_dynamo", text)
        chosen = run.parse(["--dynamo"])
        self.assertEqual([row.name for row in chosen.rows], list(DYNAMO_ROWS))
        self.assertEqual((chosen.peers, chosen.repetitions), (set(DYNAMO_PEERS), 5))
        self.assertEqual(run.parse([]).repetitions, 3)

    def test_ours_absent(self):
        self.rpc_program("bench_peer_raw")
        code, text = self.main("--rows", "unary1,discovery", "--check")
        self.assertEqual(code, 1)
        self.assertIn("stator: absent", text)
        self.assertNotIn("| pass |", text)

    def test_json_and_markdown_files(self):
        self.rpc_peers(ours=24_000, raw=30_000)
        figures, report = self.folder / "figures.json", self.folder / "report.md"
        code, _ = self.main(
            "unary1",
            "--check",
            "--json",
            str(figures),
            "--markdown",
            str(report),
            "--repetitions",
            "4",
        )
        self.assertEqual(code, 0)
        data = json.loads(figures.read_text())
        rates = data["rows"]["unary1"]["stator"]["metrics"]["requests_per_s"]
        self.assertEqual(rates["samples"], [24_000.0] * 4)
        self.assertIn("## unary1", report.read_text())

    def test_usage(self):
        for arguments in (
            ["unary2"],
            ["--peers", "nobody"],
            ["--repetitions", "2", "--check"],
            ["--repetitions", "0"],
            ["--seconds", "0"],
        ):
            self.assertEqual(self.main(*arguments)[0], 2, arguments)


if __name__ == "__main__":
    unittest.main()
