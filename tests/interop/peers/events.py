"""A real Dynamo process that publishes events or listens to them, at `interop.backend.generate`. Its report: docs/testing.md.

`publish` is a KvEventPublisher, which sends an event each 20 ms, numbered by its block hash; `listen` is a
FpmEventSubscriber, which reports the payload of each event of its topic, in hex. The plane is in DYN_EVENT_PLANE.
"""

import argparse
import asyncio
import os

from dynamo.llm import FpmEventSubscriber, KvEventPublisher
from dynamo.runtime import DistributedRuntime

from report import say


async def publish(endpoint):
    publisher = KvEventPublisher(endpoint, kv_block_size=4)
    say("ready", instance=f"{endpoint.connection_id():x}")
    block = 1
    while True:
        publisher.publish_stored([1, 2, 3, 4], [4], [block])
        block += 1
        await asyncio.sleep(0.02)


async def listen(endpoint):
    subscriber = FpmEventSubscriber(endpoint)
    say("ready")
    while (payload := await asyncio.to_thread(subscriber.recv)) is not None:
        say("heard", payload=payload.hex())


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("role", choices=["publish", "listen"])
    role = {"publish": publish, "listen": listen}[parser.parse_args().role]
    loop = asyncio.get_running_loop()
    backend = os.environ.get("DYN_DISCOVERY_BACKEND", "file")
    runtime = DistributedRuntime(loop, backend, "tcp", event_plane=os.environ["DYN_EVENT_PLANE"])
    await role(runtime.endpoint("interop.backend.generate"))


asyncio.run(main())
