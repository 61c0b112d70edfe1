"""Stands between a real or own client and a worker on the Dynamo plane, and cuts its bytes into other pieces.

The client finds the proxy in a copied discovery record. The worker calls the client back at the address inside the
request, so the proxy puts an address of its own there: bytes of both planes, in both directions, pass through it.
"""

import asyncio
import json
import random
import struct
import threading

PAUSE = 0.0005  # after each piece, so that the reader takes it alone
GATHERING = 0.03


class Pieces:
    """How a direction's bytes are sent on."""

    def __init__(self, kind, seed=1):
        self.kind = kind
        self._random = random.Random(seed)

    def cut(self, data):
        if self.kind == "merged":
            return [data]
        pieces, at = [], 0
        while at < len(data):
            size = 1 if self.kind == "bytes" else self._random.randint(1, 40)
            pieces.append(data[at : at + size])
            at += size
        return pieces

    @property
    def pause(self):
        return GATHERING if self.kind == "merged" else PAUSE


async def read_request(reader):
    """One request frame: path, headers, control header, body."""
    path = await reader.readexactly(struct.unpack(">H", await reader.readexactly(2))[0])
    headers = await reader.readexactly(struct.unpack(">H", await reader.readexactly(2))[0])
    payload = await reader.readexactly(struct.unpack(">I", await reader.readexactly(4))[0])
    control_size, body_size, _ = struct.unpack(">QQQ", payload[:24])
    control = json.loads(payload[24 : 24 + control_size])
    return path, headers, control, payload[24 + control_size : 24 + control_size + body_size]


def write_request(path, headers, control, body):
    text = json.dumps(control, separators=(",", ":"), ensure_ascii=False).encode()
    payload = struct.pack(">QQQ", len(text), len(body), 0) + text + body
    head = struct.pack(">H", len(path)) + path + struct.pack(">H", len(headers)) + headers
    return head + struct.pack(">I", len(payload)) + payload


class Proxy:
    """In front of one worker; `port` is where its requests go. Use as a context manager."""

    def __init__(self, worker, kind, cut_after=None):
        """`cut_after`: how many frames of a response pass (the handshake is the first) before the worker is lost."""
        self._worker = worker
        self._kind = kind
        self._cut_after = cut_after
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._callbacks = {}  # address of a client's listener -> the server that stands for it
        self._servers = []
        self._tasks = set()
        self._requests = set()  # the writers of clients' connections
        self.failure = None
        self.calls_home = 0

    def __enter__(self):
        self._thread.start()
        self.port = self._run(self._listen(self._request_connection))
        return self

    def __exit__(self, *_):
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _close(self):
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close in the loop's next turn

    async def _listen(self, serve):
        """The port on which `serve` gets each connection."""

        async def accepted(reader, writer):
            self._tasks.add(asyncio.current_task())
            try:
                await serve(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # what ends one side ends the other, in `finally`
            except Exception as error:
                self.failure = repr(error)
            finally:
                writer.transport.abort()
                self._tasks.discard(asyncio.current_task())

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        self._servers.append(server)
        return server.sockets[0].getsockname()[1]

    async def _request_connection(self, reader, writer):
        host, port = self._worker
        from_worker, to_worker = await asyncio.open_connection(host, port)
        acks = asyncio.ensure_future(self._pump(from_worker, writer))
        self._requests.add(writer)
        try:
            while True:
                path, headers, control, body = await read_request(reader)
                for key in ("connection_info", "request_stream_connection_info"):
                    if key in control:
                        await self._redirect(control[key])
                await self._send(to_worker, write_request(path, headers, control, body), Pieces(self._kind))
        finally:
            self._requests.discard(writer)
            acks.cancel()
            to_worker.transport.abort()

    async def _redirect(self, connection):
        info = json.loads(connection["info"])
        address = info["address"]
        if address not in self._callbacks:
            self._callbacks[address] = await self._listen(lambda *ends: self._call_home(address, *ends))
        info["address"] = f"127.0.0.1:{self._callbacks[address]}"
        connection["info"] = json.dumps(info)

    async def _call_home(self, address, reader, writer):
        self.calls_home += 1
        host, _, port = address.rpartition(":")
        from_client, to_client = await asyncio.open_connection(host, int(port))
        control = asyncio.ensure_future(self._pump(from_client, writer))
        try:
            if self._cut_after is None:
                await self._pump(reader, to_client)
                await control
            else:
                await self._some_frames(reader, to_client)
        finally:
            control.cancel()
            to_client.transport.abort()

    async def _some_frames(self, reader, writer):
        for _ in range(self._cut_after):
            head = await reader.readexactly(24)
            header_size, body_size, _ = struct.unpack(">QQQ", head)
            writer.write(head + await reader.readexactly(header_size + body_size))
        await writer.drain()
        await asyncio.sleep(GATHERING)  # a reset may overtake what was sent

    def lose_requests(self):
        """Closes the connections of the request plane; running responses are not touched."""
        self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in self._requests])

    async def _pump(self, reader, writer):
        pieces = Pieces(self._kind)
        while data := await reader.read(1 << 16):
            if self._kind == "merged":
                data += await self._gathered(reader)
            await self._send(writer, data, pieces)
        writer.write_eof()

    async def _gathered(self, reader):
        """What else comes within the time that pieces are held back."""
        await asyncio.sleep(GATHERING)
        waiting = asyncio.ensure_future(reader.read(1 << 20))
        done, _ = await asyncio.wait([waiting], timeout=0)
        if done:
            return waiting.result()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return b""

    @staticmethod
    async def _send(writer, data, pieces):
        for piece in pieces.cut(data):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pieces.pause)
