"""A real Dynamo client, told by lines of JSON on stdin what to call. Commands and report: docs/testing.md."""

import asyncio
import json
import os
import sys

from dynamo._core import Context
from dynamo.runtime import DistributedRuntime

from canonical import ItemDigest
from report import say

SHOWN = 10  # items of a call that are reported one by one


class Call:
    """One request of a command, and what came of it."""

    def __init__(self, command, number):
        self.name = command["id"]
        self.request = command["request"]
        self.stop_after = command.get("stop_after")
        self.drop_after = command.get("drop_after")
        self.alone = command.get("count", 1) == 1
        if not self.alone:
            self.request = {**self.request, "text": f"{self.request.get('text', '')}{number}"}
        self.items = 0
        self.digest = ItemDigest()
        self.outcome, self.error = "ok", None

    async def run(self, client):
        try:
            await self._receive(client)
        except Exception as error:  # whatever the runtime makes of it is what is asked for
            self.outcome, self.error = "error", {"type": type(error).__name__, "text": str(error)}

    async def _receive(self, client):
        context = Context()
        stream = await client.round_robin(self.request, context=context)
        async for item in stream:
            self.digest.add(item.data())
            self.items += 1
            if self.alone and self.items <= SHOWN:
                say("item", id=self.name, number=self.items)
            if self.items == self.stop_after:
                say("stop", id=self.name)
                context.stop_generating()
            if self.items == self.drop_after:
                say("drop", id=self.name)
                break

    def result(self):
        return {"outcome": self.outcome, "items": self.items, "digest": self.digest.hex(), "error": self.error}


class Clients:
    """One client per endpoint, made when it is first asked for."""

    def __init__(self, runtime):
        self._runtime = runtime
        self._clients = {}

    async def of(self, path):
        if path not in self._clients:
            self._clients[path] = await self._runtime.endpoint(path).client()
        return self._clients[path]


async def call(clients, command):
    client = await clients.of(command["path"])
    calls = [Call(command, number) for number in range(command.get("count", 1))]
    limit = command.get("timeout", 30)
    if command.get("wait", True):
        try:
            await asyncio.wait_for(client.wait_for_instances(), limit)
        except asyncio.TimeoutError:
            nobody = {"outcome": "no instances", "items": 0, "digest": None, "error": None}
            say("end", id=command["id"], results=[nobody])
            return
    running = asyncio.gather(*(one.run(client) for one in calls))
    try:
        await asyncio.wait_for(running, limit)
        results = [one.result() for one in calls]
    except asyncio.TimeoutError:
        results = [{**one.result(), "outcome": "no end"} for one in calls]
    say("end", id=command["id"], results=results)


async def main():
    loop = asyncio.get_running_loop()
    backend = os.environ.get("DYN_DISCOVERY_BACKEND", "file")
    runtime = DistributedRuntime(loop, backend, os.environ.get("DYN_REQUEST_PLANE", "tcp"))
    clients = Clients(runtime)
    lines = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    say("ready")
    running = set()
    while line := await lines.readline():
        task = asyncio.ensure_future(call(clients, json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    runtime.shutdown()
    sys.stdout.flush()
    os._exit(0)  # the interpreter's own end waits for threads of the runtime


asyncio.run(main())
