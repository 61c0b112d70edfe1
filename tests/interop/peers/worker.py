"""A real Dynamo worker whose requests say what becomes of them. Its report: docs/testing.md.

It serves `<component>.generate` (one request, a stream of items) and `<component>.converse` (a stream of requests, each
answered by an item). Where it listens and registers is in the environment (DYN_FILE_KV, DYN_TCP_RPC_HOST, ...).
"""

import argparse
import asyncio
import os
import signal

from dynamo.runtime import DistributedRuntime

from canonical import digest
from report import say, watched

# The field "fail": what a handler written in Python raises for it.
ERRORS = {
    "invalid": ValueError,
    "internal": RuntimeError,
    "deadline": TimeoutError,
    "disconnected": ConnectionResetError,
}


def item_of(request, number):
    """Of the same shape as an item of `stator serve`, without the name of the worker."""
    if "values" in request:
        return request["values"][number]
    item = {"i": number}
    if "text" in request:
        item["text"] = request["text"]
    if request.get("size"):
        item["pad"] = "." * request["size"]
    return item


async def generate(request, context):
    items = len(request["values"]) if "values" in request else request.get("items", 3)
    say("request", id=context.id(), digest=digest(request))
    sent = 0
    async with watched(context):
        while True:
            if request.get("fail_after") == sent:
                raise ERRORS[request.get("fail", "internal")]("as the request asked")
            if sent == items or context.is_stopped():
                break
            if request.get("delay_ms"):
                await asyncio.sleep(request["delay_ms"] / 1000)
            yield item_of(request, sent)
            sent += 1
    say("done", id=context.id(), items=sent)


async def converse(requests, context):
    say("request", id=context.id(), digest=None)
    sent = 0
    async with watched(context):
        async for request in requests:
            yield {"i": sent, "item": request}
            sent += 1
        if not context.is_stopped():
            yield {"end": sent}
    say("done", id=context.id(), items=sent)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--component", default="interop.backend", help="namespace.component")
    parser.add_argument("--codec", choices=["json", "msgpack"], required=True, help="the one it asks callers for")
    options = parser.parse_args()
    os.environ["DYN_REQUEST_PLANE_CODEC"] = options.codec

    loop = asyncio.get_running_loop()
    backend = os.environ.get("DYN_DISCOVERY_BACKEND", "file")
    runtime = DistributedRuntime(loop, backend, os.environ.get("DYN_REQUEST_PLANE", "tcp"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.shutdown)
    one_way = runtime.endpoint(f"{options.component}.generate")
    both_ways = runtime.endpoint(f"{options.component}.converse")
    say("ready", instance=f"{one_way.connection_id():x}")
    await asyncio.gather(one_way.serve_endpoint(generate), both_ways.serve_bidirectional_endpoint(converse))
    say("served")


asyncio.run(main())
