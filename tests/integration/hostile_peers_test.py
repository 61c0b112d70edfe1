"""Peers that break the rules, of the protocol and of good manners: each costs only itself."""

import re
import resource
import selectors
import signal
import socket
import time
import unittest

import raw_mux
from harness import PATIENCE, TestCase, descriptors, memory_kib

ENDPOINT = "demo.backend.generate"
ENDLESS = '{"items":1000000000,"size":1000}'


class HostilePeers(TestCase):
    def start(self, **settings):
        cluster = self.cluster(**settings)
        worker = cluster.serve(ENDPOINT)
        host, port = cluster.ls()[0]["transports"]["mux"].rsplit(":", 1)
        return cluster, worker, (host, int(port))

    def connect(self, address):
        connection = socket.create_connection(address, timeout=PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def assert_serves(self, cluster):
        call = cluster.call({"items": 3}, "--timeout", "10")
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual(len(call.items()), 3)

    def test_handshakes_that_never_end(self):
        cluster, worker, address = self.start()
        idle = descriptors(worker)
        complete = raw_mux.preface() + raw_mux.hello()
        begun = time.monotonic()
        peers = []
        for size in (0, 1, 2, 9, 15, 16, 20, len(complete) - 1):
            peers.append(self.connect(address))
            peers[-1].sendall(complete[:size])
        self.assert_serves(cluster)
        for peer in peers:
            raw_mux.read_all(peer, 15)
        self.assertLess(time.monotonic() - begun, 12)
        self.wait_until(lambda: descriptors(worker) <= idle, "their descriptors are free again")
        self.assert_serves(cluster)

    def test_ten_thousand_connect_at_once(self):
        count = 10_000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertGreater(hard, count + 500, "this test needs that many descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        cluster, worker, address = self.start()
        idle, before = descriptors(worker), memory_kib(worker)
        ready = selectors.DefaultSelector()
        self.addCleanup(ready.close)
        peers = []
        for _ in range(count):
            peer = socket.socket()
            peer.setblocking(False)
            peer.connect_ex(address)
            ready.register(peer, selectors.EVENT_WRITE)
            peers.append(peer)
        connected, end = 0, time.monotonic() + PATIENCE
        while connected < count and time.monotonic() < end:
            for key, _ in ready.select(1):
                self.assertEqual(key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
                ready.unregister(key.fileobj)
                key.fileobj.send(raw_mux.preface() + raw_mux.hello())
                connected += 1
        self.assertEqual(connected, count)
        self.wait_until(lambda: descriptors(worker) >= idle + count, "all are accepted")
        self.assert_serves(cluster)
        self.assertLess((memory_kib(worker) - before) / count, 64, "KiB for an idle connection")
        for peer in peers:
            peer.close()
        self.wait_until(lambda: descriptors(worker) <= idle, "all are gone")
        self.assert_serves(cluster)

    def test_a_reset_after_every_byte(self):
        cluster, worker, address = self.start()
        idle = descriptors(worker)
        session = raw_mux.session(ENDPOINT, '{"items":100000,"delay_ms":1}')
        for size in range(len(session) + 1):
            peer = self.connect(address)
            peer.sendall(session[:size])
            if size >= len(raw_mux.preface()) and size % 2 == 0:
                peer.recv(1)  # not before its answer: others are cut while they are read
            raw_mux.reset(peer)
        self.wait_until(lambda: descriptors(worker) <= idle, "all connections are gone")
        self.assertEqual(self.metric(worker, r"dynamo_component_inflight_requests\{.*\}"), 0)
        self.assert_serves(cluster)

    def test_peers_that_never_read(self):
        cluster, worker, address = self.start()
        self.assert_serves(cluster)
        before = memory_kib(worker)
        peers = 20
        for _ in range(peers):
            peer = self.connect(address)
            peer.sendall(raw_mux.preface() + raw_mux.hello() + raw_mux.open_call(ENDPOINT, ENDLESS))
        time.sleep(2)  # as long as they like to fill what there is to fill
        self.assert_serves(cluster)
        # Each may have what the session buffers for output, and no more.
        self.assertLess((memory_kib(worker) - before) / peers, 2048, "KiB for a peer that does not read")

    def test_a_flood_of_garbage_fills_no_log(self):
        cluster, worker, address = self.start()
        count = 1000
        kinds = (
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x00\x00",
            b"\xff\xffNOT A PEER OF THIS KIND",
            raw_mux.preface() + raw_mux.frame(0x7F),
            raw_mux.preface() + raw_mux.hello() + raw_mux.frame(raw_mux.DATA, 1, b"x"),
            raw_mux.preface() + raw_mux.hello() + raw_mux.frame(raw_mux.OPEN, 2, b"x" * 60),
        )
        for number in range(count):
            peer = self.connect(address)
            peer.sendall(kinds[number % len(kinds)])
            peer.shutdown(socket.SHUT_WR)
            raw_mux.read_all(peer)
            peer.close()
        self.assert_serves(cluster)
        warnings = [line.text for line in worker.stderr.lines if " WARN " in line.text]
        self.assertLess(len(warnings), 10, warnings)
        self.assertGreater(len(warnings), 0)
        counters = ("mux_connection_violations", "dynamo_violations", "transport_refused_connections")
        counts = [self.metric(worker, f"stator_{name}_total") for name in counters]
        self.assertEqual(sum(counts), count, counts)

    def serve_with_limit(self, cluster, limit, **settings):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))  # the worker inherits it
        try:
            return cluster.serve(ENDPOINT, **settings)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_the_limit_of_descriptors_is_raised(self):
        cluster = self.cluster()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        for setting, raised in ({}, min(hard, 1 << 20)), ({"DYN_WORKER_DESCRIPTOR_LIMIT": "300"}, 300):
            worker = self.serve_with_limit(cluster, 100, **setting)
            self.assertEqual(resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE), (raised, hard))
            self.assertIn(
                f"limit of descriptors raised from 100 to {raised}, the hard one is {hard}", worker.stderr_tail()
            )
        worker = self.serve_with_limit(cluster, 100, DYN_WORKER_DESCRIPTOR_LIMIT="0")
        self.assertEqual(resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE), (100, hard))
        self.assertNotIn("limit of descriptors", worker.stderr_tail())

    def test_a_worker_out_of_descriptors(self):
        cluster = self.cluster()
        limit = 64
        worker = self.serve_with_limit(cluster, limit, DYN_WORKER_DESCRIPTOR_LIMIT="0")
        host, port = cluster.ls()[0]["transports"]["mux"].rsplit(":", 1)
        call = cluster.start_call({"items": 400, "delay_ms": 10})
        call.stdout.wait_for('"i":0,')
        peers = []
        for _ in range(3 * limit):
            try:
                peers.append(self.connect((host, int(port))))
            except OSError:
                break  # the queue of the kernel is full, too
        # Those that find no room are told so instead of being left to wait.
        refused = [peer for peer in peers if self.is_closed(peer)]
        self.assertGreater(len(refused), limit)
        self.assertTrue(call.running(), call.stderr_tail())
        for peer in peers:
            peer.close()
        end = time.monotonic() + PATIENCE
        while cluster.call({"items": 1}, "--timeout", "5").status != 0:
            self.assertLess(time.monotonic(), end, "it does not recover")
        self.assertEqual(call.wait(), 0, call.stderr.text())
        self.assertEqual(len(call.items()), 400)
        self.assertLess(len(worker.stderr.lines), 100)
        worker.terminate()
        self.assertEqual(worker.wait(), 0, worker.stderr.text())

    def is_closed(self, peer):
        peer.settimeout(0.05)
        try:
            return peer.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True

    def test_a_caller_that_stands_still_is_given_up(self):
        cluster, worker, _ = self.start(
            DYN_MUX_PING_AFTER="200ms", DYN_MUX_SUSPECT_AFTER="500ms", DYN_MUX_LOST_AFTER="2s"
        )
        call = cluster.start_call({"items": 100_000, "delay_ms": 10})
        call.stdout.wait_for('"i":2,')
        call.send(signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            ended = worker.stderr.wait_for(r"diagnostic request \S+ killed after \d+ items \(peer_gone\)")
            self.assertGreater(ended.at - stopped, 1.5)
            self.assertLess(ended.at - stopped, 5)
        finally:
            call.send(signal.SIGCONT)
        self.assert_ended(call, 1, "disconnected")
        self.assert_serves(cluster)

    def test_a_worker_that_stands_still_is_passed_over(self):
        cluster, worker, _ = self.start(
            DYN_MUX_PING_AFTER="200ms", DYN_MUX_SUSPECT_AFTER="500ms", DYN_MUX_LOST_AFTER="3s"
        )
        other = cluster.serve(ENDPOINT)
        run = cluster.start_call(
            {"items": 20, "delay_ms": 10}, "--count", "200", "--concurrency", "8", "--timeout", "20"
        )
        run.stdout.wait_for('"i":19,', count=16)
        worker.send(signal.SIGSTOP)
        try:
            run.wait(60)
        finally:
            worker.send(signal.SIGCONT)
        text = run.stderr.text()
        lost = re.search(r"errors   disconnected (\d+)", text)
        # What it had accepted is lost, at most what ran at the time; nobody else is.
        self.assertIsNotNone(lost, text)
        self.assertLessEqual(int(lost[1]), 8, text)
        self.assertIn(f"({200 - int(lost[1])} succeeded)", text)
        self.assertEqual(other.process.poll(), None)


if __name__ == "__main__":
    unittest.main()
