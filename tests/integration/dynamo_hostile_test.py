"""Peers of Dynamo's planes that break the rules or are very many: each costs only itself."""

import json
import os
import pathlib
import re
import resource
import socket
import threading
import time
import unittest

import raw_dynamo
import raw_mux
from harness import PATIENCE, TestCase, descriptors, memory_kib

ENDPOINT = "demo.backend.generate"
HALF_OPEN = 10_000


def listening_ports(program):
    """Of a process, as the kernel sees it."""
    folder = f"/proc/{program.process.pid}/fd"
    inodes = set()
    for name in os.listdir(folder):
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"{folder}/{name}"))
        except FileNotFoundError:
            continue
        if match:
            inodes.add(match[1])
    rows = (line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])
    return [int(row[1].rsplit(":", 1)[1], 16) for row in rows if row[3] == "0A" and row[9] in inodes]


class DynamoCase(TestCase):
    def worker(self, **settings):
        """A worker, the address of its request port, and the path under which it serves."""
        cluster = self.cluster(**settings)
        worker = cluster.serve(ENDPOINT)
        (record,) = (cluster.kv / "v1" / "instances").glob("[!.]*")
        address, path = json.loads(record.read_text())["transport"]["tcp"].split("/", 1)
        host, port = address.rsplit(":", 1)
        return cluster, worker, (host, int(port)), path

    def connect(self, address):
        connection = socket.create_connection(address, timeout=PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def home(self):
        home = raw_dynamo.Home()
        self.addCleanup(home.close)
        return home

    def many(self, count=HALF_OPEN):
        """So many descriptors, or as many as this process may have; says so if that is fewer."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        allowed = min(count, hard - 500)
        if allowed < count:
            print(f"RLIMIT_NOFILE is {hard}: {allowed} connections instead of {count}")
        return allowed

    def connect_many(self, address, count, first_bytes):
        """`first_bytes` of its number is what each connection says."""
        peers = []
        for number in range(count):
            peer = self.connect(address)
            peer.sendall(first_bytes(number))
            peers.append(peer)
        return peers

    def assert_serves(self, cluster, planes=("mux", "dynamo")):
        for plane in planes:
            call = cluster.call({"items": 3}, "--timeout", "10", "--plane", plane)
            self.assertEqual(call.status, 0, call.stderr.text())
            self.assertEqual(len(call.items()), 3)

    def wait_until(self, condition, what, timeout=PATIENCE):
        end = time.monotonic() + timeout
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.02)

    def is_closed(self, peer):
        peer.setblocking(False)
        try:
            while peer.recv(1 << 16):
                pass
            return True
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True


class RequestPort(DynamoCase):
    def test_ten_thousand_half_open_connections(self):
        count = self.many()
        cluster, worker, address, path = self.worker()
        home = self.home()
        whole = raw_dynamo.request(path, home.address)
        huge = raw_dynamo.frame(path, b"")[:-4] + b"\x01\xff\x00\x00"  # 31.9 MiB, and nothing of it
        beginnings = (whole[:1], whole[: 2 + len(path) // 2], whole[: len(whole) // 2], whole[:-1], huge)
        idle, before = descriptors(worker), memory_kib(worker)
        begun = time.monotonic()
        peers = self.connect_many(address, count, lambda number: beginnings[number % len(beginnings)])
        self.assert_serves(cluster)
        if time.monotonic() - begun < 4:  # the first ones are sent away after five seconds
            self.assertGreaterEqual(descriptors(worker), idle + count)
        self.assertLess((memory_kib(worker) - before) / count, 64, "KiB for a half-open connection")
        # What says nothing that tells its protocol goes after 5 s, half a frame after 30.
        self.wait_until(lambda: descriptors(worker) <= idle, "all were sent away", 60)
        self.assertTrue(all(self.is_closed(peer) for peer in peers))
        named = self.metric(worker, "stator_dynamo_violations_total")
        self.assertEqual(named, count * 4 / 5, "half frames, by name")
        worker.stderr.wait_for(r"dynamo\.half_frame|and not the rest in time")
        self.assert_serves(cluster)
        self.assertLess(memory_kib(worker) - before, 128 * 1024, "KiB are kept by the allocator")

    def test_every_kind_of_garbage(self):
        cluster, worker, address, path = self.worker()
        idle = descriptors(worker)
        home = self.home()
        good = json.loads(raw_dynamo.control(home.address, "s"))
        connection_info = good["connection_info"]
        quic = good | {"connection_info": connection_info | {"transport": "quic-response"}}
        nowhere = good | {"connection_info": connection_info | {"info": "{}"}}

        def with_control(value):
            return raw_dynamo.frame(path, raw_dynamo.message(json.dumps(value).encode(), b"{}"))

        ends = {  # the frame is none: its connection is of no more use
            b"GET / HTTP/1.1\r\n\r\n" + bytes(100): "Read error: a path of ",
            bytes(64): "Read error: a path of 0 bytes",
            b"\x00\x01a\x00\x00\xff\xff\xff\xff": "Read error: message too large: ",
        }
        stays = {
            raw_dynamo.frame(path, b"x"): "Server unavailable: ",
            raw_dynamo.frame(path, b"\xff" * 40): "Server unavailable: ",
            with_control(5): "Server unavailable: ",
            with_control(quic): "Server unavailable: ",
            with_control(nowhere): "Server unavailable: ",
            raw_dynamo.request("1f/no/such/endpoint", home.address): "Server unavailable: unknown endpoint 1f/no/such",
        }
        rounds = 50
        for _ in range(rounds):
            for bytes_, text in ends.items():
                peer = self.connect(address)
                peer.sendall(bytes_)
                self.assertTrue(raw_dynamo.read_ack(peer).startswith(text), text)
                self.assertIsNone(raw_dynamo.read_ack(peer))
                peer.close()
            peer = self.connect(address)
            for bytes_, text in stays.items():
                peer.sendall(bytes_)
                ack = raw_dynamo.read_ack(peer)
                self.assertTrue(ack.startswith(text), ack)
            peer.sendall(raw_dynamo.request(path, home.address))
            self.assertEqual(raw_dynamo.read_ack(peer), "")
            with home.accept() as answer:
                raw_dynamo.read_message(answer)
                self.assertEqual(len(raw_dynamo.read_answer(answer)), 4)
            peer.close()
        self.assertEqual(self.metric(worker, "stator_dynamo_violations_total"), rounds * (len(ends) + 5))
        self.assertEqual(self.metric(worker, "stator_dynamo_undecodable_requests_total"), rounds * 5)
        self.wait_until(lambda: descriptors(worker) <= idle, "their descriptors are free again")
        warnings = [line.text for line in worker.stderr.lines if " WARN " in line.text]
        self.assertLess(len(warnings), 10, warnings)
        self.assert_serves(cluster)

    def test_acknowledgements_that_nobody_reads(self):
        cluster, worker, address, path = self.worker()
        idle, before = descriptors(worker), memory_kib(worker)
        refused = raw_dynamo.request("1f/no/such/endpoint", "127.0.0.1:1") * 50
        peers = []
        for number in range(10):
            peer = self.connect(address)
            peer.setblocking(False)
            sent, blocked = 0, time.monotonic() + 0.2
            while time.monotonic() < blocked:
                try:
                    sent += peer.send(refused[sent % len(refused) :])
                    blocked = time.monotonic() + 0.2
                except BlockingIOError:
                    time.sleep(0.01)
            if number % 2 == 0:
                peer.shutdown(socket.SHUT_WR)
            peers.append(peer)
        self.assert_serves(cluster)
        self.assertLess((memory_kib(worker) - before) / len(peers), 2048, "KiB for one that does not read")
        self.wait_until(lambda: descriptors(worker) <= idle, "they are given up", 40)
        self.assertGreaterEqual(self.metric(worker, "stator_dynamo_violations_total"), len(peers))
        self.assert_serves(cluster)

    def test_a_request_without_a_descriptor_is_refused_before_it_is_accepted(self):
        cluster = self.cluster()
        limit = 64
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))  # the worker inherits it
        try:
            worker = cluster.serve(ENDPOINT, DYN_WORKER_DESCRIPTOR_LIMIT="0")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        (record,) = (cluster.kv / "v1" / "instances").glob("[!.]*")
        place, path = json.loads(record.read_text())["transport"]["tcp"].split("/", 1)
        home = self.home()
        peer = self.connect(("127.0.0.1", int(place.rsplit(":", 1)[1])))
        asked = 3 * limit
        for _ in range(asked):
            peer.sendall(raw_dynamo.request(path, home.address, value={"items": 2, "delay_ms": 3000}))
        acks = [raw_dynamo.read_ack(peer) for _ in range(asked)]
        accepted = acks.count("")
        self.assertGreater(accepted, 10)
        self.assertEqual(acks.count("Server overloaded: worker at capacity"), asked - accepted)
        counter = "stator_dynamo_requests_out_of_descriptors_total"
        self.assertEqual(self.metric(worker, counter), asked - accepted)
        for _ in range(accepted):  # none of these was killed
            with home.accept() as answer:
                self.assertEqual(len(raw_dynamo.read_answer(answer)), 3)
        self.assertEqual(self.metric(worker, r"dynamo_component_inflight_requests\{.*\}"), 0)
        self.assert_serves(cluster)
        # None that was refused is waited for.
        worker.terminate()
        self.assertEqual(worker.wait(10), 0, worker.stderr.text())

    def test_ten_thousand_requests_of_which_a_third_is_cut(self):
        cluster, worker, address, path = self.worker()
        self.assert_serves(cluster)
        idle = descriptors(worker)
        home = self.home()
        count, lanes = 10_000, 4
        clean = []

        def lane(number):
            kept = raw_dynamo.Home()
            peer = socket.create_connection(address, timeout=PATIENCE)
            for i in range(number, count, lanes):
                how = i % 15
                if how == 14:  # the client is gone before it could be answered
                    peer.sendall(raw_dynamo.request(path, kept.address))
                    raw_mux.reset(peer)
                    peer = socket.create_connection(address, timeout=PATIENCE)
                else:
                    # What is cut would go on for long.
                    value = {"items": 2} if how >= 4 else {"items": 100_000, "delay_ms": 1}
                    peer.sendall(raw_dynamo.request(path, kept.address, value=value))
                    if raw_dynamo.read_ack(peer) != "":
                        continue
                try:
                    answer = kept.accept()
                except TimeoutError:
                    continue  # its request was never read
                raw_dynamo.read_message(answer)
                if how == 0:
                    answer.sendall(raw_dynamo.STOP)
                elif how == 1:
                    answer.sendall(raw_dynamo.KILL)
                if how in (2, 3):
                    raw_mux.reset(answer)
                    continue
                ended = raw_dynamo.read_answer(answer)
                answer.close()
                if how >= 4 and how != 14 and ended is not None and len(ended) == 3:
                    clean.append(i)
            peer.close()
            kept.close()

        threads = [threading.Thread(target=lane, args=(number,)) for number in range(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        home.close()
        self.assertEqual(len(clean), sum(1 for i in range(count) if 4 <= i % 15 < 14))
        self.wait_until(
            lambda: self.metric(worker, r"dynamo_component_inflight_requests\{.*\}") == 0, "no handler is left"
        )
        self.wait_until(lambda: descriptors(worker) <= idle, "no descriptor is left")
        self.assert_serves(cluster)

    def test_callers_that_are_killed(self):
        cluster, worker, _, _ = self.worker()
        self.assert_serves(cluster)
        idle = descriptors(worker)
        for _ in range(10):
            caller = cluster.start_call(
                {"items": 1000, "delay_ms": 1}, "--count", "100000", "--concurrency", "50", "--plane", "dynamo"
            )
            caller.stdout.wait_for('"i":9,', count=50)
            caller.kill()
            caller.wait()
        self.wait_until(
            lambda: self.metric(worker, r"dynamo_component_inflight_requests\{.*\}") == 0, "no handler is left"
        )
        self.wait_until(lambda: descriptors(worker) <= idle, "no descriptor is left")
        self.assert_serves(cluster)


class CallHomePort(DynamoCase):
    def caller(self, cluster, *options):
        """One that goes on calling, and its port."""
        caller = cluster.start_call(
            {"items": 5, "delay_ms": 10}, "--count", "1000000", "--concurrency", "8", "--timeout", "600",
            "--plane", "dynamo", *options,
        )
        caller.stdout.wait_for('"i":4,', count=20)
        (port,) = listening_ports(caller)
        return caller, ("127.0.0.1", port)

    def assert_goes_on(self, caller):
        seen = sum(1 for line in caller.stdout.lines if '"i":4,' in line.text)
        caller.stdout.wait_for('"i":4,', count=seen + 20)
        self.assertTrue(caller.running(), caller.stderr_tail())

    def finish(self, caller):
        """It had no failed call."""
        caller.interrupt()
        caller.wait()
        summary = caller.stderr.text()
        errors = re.search(r"^errors   (.*)$", summary, re.MULTILINE)
        self.assertTrue(errors is None or errors[1] in ("none", "cancelled 8"), summary[-2000:])

    def test_ten_thousand_half_open_connections(self):
        count = self.many()
        cluster, _, _, _ = self.worker()
        caller, address = self.caller(cluster)
        used, before = descriptors(caller), memory_kib(caller)
        half = raw_dynamo.handshake("0000ffff-0000-4000-8000-000000000000")[:-5]
        beginnings = (b"", half[:1], half[:24], half)
        peers = self.connect_many(address, count, lambda number: beginnings[number % 4])
        self.assert_goes_on(caller)
        # A thousand may wait; each further one costs the oldest its place.
        self.wait_until(lambda: descriptors(caller) <= used + 1024 + 100, "no more are kept")
        self.assertLess(memory_kib(caller) - before, 64 * 1024, "KiB for all of them")
        self.wait_until(lambda: all(self.is_closed(peer) for peer in peers), "all were sent away", 30)
        self.assert_goes_on(caller)
        self.wait_until(lambda: descriptors(caller) <= used + 32, "their descriptors are free again")
        self.finish(caller)

    def test_strangers(self):
        cluster, _, _, _ = self.worker()
        caller, address = self.caller(cluster)
        used = descriptors(caller)
        unknown = "12345678-1234-4234-8234-123456789abc"
        kinds = (
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" + bytes(24),
            b"\x16\x03\x01" + bytes(40),
            b"\xff" * 40,
            bytes(64),
            raw_dynamo.handshake(unknown),
            raw_dynamo.handshake("0000" + unknown[4:]) + raw_dynamo.PROLOGUE,
            raw_dynamo.handshake("no uuid"),
            raw_dynamo.handshake(unknown, "request"),
            raw_dynamo.handshake("x" * 600),
            raw_dynamo.message(b"nonsense"),
            raw_dynamo.PROLOGUE,
            raw_dynamo.message(b'{"subject":"' + unknown.encode() + b'","stream_type":"response"}', b"body"),
        )
        for _ in range(100):
            for kind in kinds:
                peer = self.connect(address)
                try:
                    peer.sendall(kind)
                    self.assertEqual(raw_mux.read_all(peer), b"")
                except ConnectionResetError:
                    pass
                peer.close()
        self.assert_goes_on(caller)
        self.wait_until(lambda: descriptors(caller) <= used + 32, "their descriptors are free again")
        self.finish(caller)


class Workers(DynamoCase):
    """A caller of ours before a worker that does not behave once it is known."""

    def ask(self, script, *options, **settings):
        cluster = self.cluster(
            DYN_TCP_REQUEST_TIMEOUT="1s",
            DYN_TCP_CALL_HOME_TIMEOUT="1s",
            DYN_TCP_PROLOGUE_TIMEOUT="1s",
            **settings,
        )
        worker = raw_dynamo.Worker(cluster.kv, ENDPOINT, script)
        self.addCleanup(worker.close)
        return cluster.call({"items": 1}, "--plane", "dynamo", "--timeout", "10", *options)

    def assert_named(self, script, status, code, detail):
        call = self.ask(script)
        self.assertEqual(call.status, status, call.stderr.text())
        error = call.error()
        self.assertEqual((error["code"], error.get("detail")), (code, detail), error)

    def answering(self, *parts, then=None):
        """Accepts, calls home and says so."""

        def script(taken, connection):
            raw_dynamo.accept_request(connection)
            with raw_dynamo.call_home(taken, b"".join(parts)) as home:
                if then is not None:
                    then(taken, home)
                raw_mux.read_all(home)

        return script

    def test_a_good_one(self):
        call = self.ask(
            self.answering(
                raw_dynamo.PROLOGUE, raw_dynamo.item("hi"), raw_dynamo.FINAL, raw_dynamo.SENTINEL
            )
        )
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual(call.items(), ["hi"])

    def test_a_second_handshake_is_turned_away(self):
        def twice(taken, home):
            with raw_dynamo.call_home(taken, raw_dynamo.PROLOGUE + raw_dynamo.item("wrong")) as twin:
                self.turned_away = raw_mux.read_all(twin) == b""
            home.sendall(raw_dynamo.PROLOGUE + raw_dynamo.item("right") + raw_dynamo.FINAL + raw_dynamo.SENTINEL)

        call = self.ask(self.answering(then=twice))
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual(call.items(), ["right"])
        self.assertTrue(self.turned_away)

    def test_a_handshake_within_the_answer(self):
        # Unknown keys are ignored everywhere, so it passes for a prologue, but for nothing behind one.
        again = raw_dynamo.handshake("12345678-1234-4234-8234-123456789abc")
        self.assert_named(self.answering(again, again), 1, "disconnected", "dynamo.bad_word")

    def test_garbage_instead_of_the_prologue(self):
        for garbage in (raw_dynamo.message(b"nonsense"), raw_dynamo.item(1), raw_dynamo.message(b"[]", b"x")):
            self.assert_named(self.answering(garbage), 1, "protocol", "dynamo.bad_prologue")

    def test_the_prologue_never_comes(self):
        self.assert_named(self.answering(), 3, "unavailable", "dynamo.no_prologue")

    def test_it_never_calls_home(self):
        silent = lambda taken, connection: raw_dynamo.accept_request(connection)  # noqa: E731
        self.assert_named(silent, 3, "unavailable", "dynamo.no_call_home")

    def test_it_never_acknowledges(self):
        self.assert_named(lambda taken, connection: time.sleep(3), 3, "unavailable", "dynamo.no_ack")

    def test_an_acknowledgement_without_end(self):
        def shout(taken, connection):
            connection.sendall(b"\x7f\xff\xff\xff" + bytes(1 << 16))

        self.assert_named(shout, 1, "disconnected", "dynamo.lost_unanswered")

    def test_oversize_frames(self):
        header = (1 << 40).to_bytes(8, "big")
        for prelude in (header + bytes(16), bytes(8) + header + bytes(8)):
            self.assert_named(
                self.answering(raw_dynamo.PROLOGUE, prelude), 1, "payload_too_large", "dynamo.frame_too_large"
            )

    def test_garbage_instead_of_an_item(self):
        garbage = raw_dynamo.message(body=b"\xff" * 100)
        self.assert_named(self.answering(raw_dynamo.PROLOGUE, garbage), 1, "protocol", "dynamo.bad_item")


if __name__ == "__main__":
    unittest.main()
