"""What a worker binds, what it publishes, and the names that both may have."""

import contextlib
import json
import pathlib
import socket
import struct
import threading
import unittest

from harness import PATIENCE, TestCase

ENDPOINT = "demo.backend.generate"
LISTENING = "0A"


def listening(program):
    """(host, port) of what it listens on by IPv4."""
    sockets = set()
    for descriptor in pathlib.Path(f"/proc/{program.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(str(descriptor.readlink()))
    found = []
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets:
            host, port = fields[1].split(":")
            found.append((socket.inet_ntoa(struct.pack("=I", int(host, 16))), int(port, 16)))
    return found


class Relay:
    """Another address of what it leads to, which may be known later."""

    def __init__(self, host):
        self._target = None
        self._known = threading.Event()
        self.connections = 0
        self._listener = socket.create_server((host, 0))
        self.host, self.port = self._listener.getsockname()
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, target):
        """`target` is asked when somebody connects."""
        self._target = target
        self._known.set()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._known.wait()
                server = socket.create_connection(self._target(), timeout=PATIENCE)
                server.settimeout(None)
                self.connections += 1
                self._sockets += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class Addresses(TestCase):
    def relay(self, host):
        relay = Relay(host)
        self.addCleanup(relay.close)
        return relay

    def behind(self, relay, cluster):
        """A worker on 127.0.0.1 that says it is where the relay is."""
        worker = cluster.serve(
            ENDPOINT,
            DYN_TCP_RPC_HOST="127.0.0.1",
            DYN_TCP_RPC_ADVERTISE_HOST=relay.host,
            DYN_TCP_RPC_ADVERTISE_PORT=str(relay.port),
        )
        (bound,) = listening(worker)
        self.assertEqual(bound[0], "127.0.0.1")
        self.assertNotEqual(bound[1], relay.port)
        relay.lead_to(lambda: bound)
        return worker

    def test_a_worker_behind_another_address(self):
        cluster = self.cluster()
        relay = self.relay("127.0.0.2")
        self.behind(relay, cluster)
        transports = cluster.ls()[0]["transports"]
        self.assertEqual(transports["mux"], f"127.0.0.2:{relay.port}")
        self.assertTrue(transports["tcp"].startswith(f"127.0.0.2:{relay.port}"), transports)
        for plane in ("mux", "dynamo"):
            before = relay.connections
            call = cluster.call({"items": 5}, "--plane", plane)
            self.assertEqual(call.status, 0, call.stderr.text())
            self.assertEqual([item["i"] for item in call.items()], list(range(5)))
            self.assertGreater(relay.connections, before, f"{plane} found another way")
        relay.close()
        for plane in ("mux", "dynamo"):
            call = cluster.call({"items": 1}, "--plane", plane, "--timeout", "5")
            self.assertEqual(call.status, 3, "there is no other way")

    def test_a_caller_behind_another_address(self):
        cluster = self.cluster()
        worker_side, caller_side = self.relay("127.0.0.2"), self.relay("127.0.0.3")
        self.behind(worker_side, cluster)
        call = cluster.start_call(
            {"items": 5},
            "--plane",
            "dynamo",
            DYN_TCP_RESPONSE_STREAM_HOST="lo",
            DYN_TCP_RESPONSE_STREAM_ADVERTISE_HOST=caller_side.host,
            DYN_TCP_RESPONSE_STREAM_ADVERTISE_PORT=str(caller_side.port),
        )
        caller_side.lead_to(lambda: listening(call)[0])
        self.assertEqual(call.wait(), 0, call.stderr.text())
        self.assertEqual(len(call.items()), 5)
        self.assertEqual(caller_side.connections, 1)

    def test_the_name_of_an_interface(self):
        cluster = self.cluster()
        worker = cluster.serve(
            ENDPOINT,
            DYN_TCP_RPC_HOST="lo",
            DYN_TCP_RPC_ADVERTISE_HOST="lo",
            DYN_SYSTEM_HOST="lo",
            DYN_SYSTEM_PORT="0",
        )
        self.assertEqual({host for host, _ in listening(worker)}, {"127.0.0.1"})
        self.assertTrue(cluster.ls()[0]["transports"]["mux"].startswith("127.0.0.1:"))
        self.assertEqual(worker.ask("/live")[0], 200)
        self.assertEqual(cluster.call({"items": 2}).status, 0)

    def test_events_at_an_interface(self):
        cluster = self.cluster(DYN_TCP_RPC_HOST="lo", DYN_EVENT_PLANE_HOST="lo")
        publisher = cluster.start(
            "events", "pub", "demo", "t", "1", "--wait", "0", "--interval", "0.002", "--count", "100000"
        )
        subscriber = cluster.run("events", "sub", "demo", "t", "--count", "1")
        self.assertEqual(subscriber.status, 0, subscriber.stderr.text())
        records = "".join(path.read_text() for path in cluster.kv.rglob("*") if path.is_file())
        self.assertIn("tcp://127.0.0.1:", records)
        publisher.terminate()
        publisher.wait()

    @unittest.skipUnless(socket.has_ipv6, "without IPv6")
    def test_ipv6(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            self.skipTest(f"no ::1 here: {error}")
        for host in ("::1", "[::1]"):
            cluster = self.cluster()
            settings = {"DYN_TCP_RESPONSE_STREAM_HOST": host}
            cluster.serve(ENDPOINT, DYN_TCP_RPC_HOST=host, DYN_TCP_RPC_ADVERTISE_HOST=host)
            self.assertTrue(cluster.ls()[0]["transports"]["mux"].startswith("[::1]:"))
            for plane in ("mux", "dynamo"):
                call = cluster.call({"items": 3}, "--plane", plane, **settings)
                self.assertEqual(call.status, 0, call.stderr.text())
                self.assertEqual(len(call.items()), 3)

    def test_a_host_that_is_nothing_is_named(self):
        said = '"no..host" is no address, no network interface of this machine ('
        for setting in (
            {"DYN_TCP_RPC_HOST": "no..host"},
            {"DYN_TCP_RPC_ADVERTISE_HOST": "no..host"},
            {"DYN_SYSTEM_HOST": "no..host", "DYN_SYSTEM_PORT": "0"},
        ):
            worker = self.cluster().run("serve", ENDPOINT, **setting)
            self.assertNotEqual(worker.status, 0, setting)
            self.assertIn(said, worker.stderr.text().replace('\\"', '"'), setting)
        cluster = self.cluster()
        cluster.serve(ENDPOINT)
        call = cluster.call({"items": 1}, "--plane", "dynamo", DYN_TCP_RESPONSE_STREAM_HOST="no..host")
        self.assertEqual(call.error()["detail"], "net.unknown_host", json.dumps(call.error()))
        self.assertIn(said, call.error()["message"])


if __name__ == "__main__":
    unittest.main()
