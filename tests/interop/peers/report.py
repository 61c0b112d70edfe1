"""What a peer saw, as lines of JSON. `t` is the monotonic clock, which all processes of a machine share."""

import asyncio
import contextlib
import json
import sys
import time


def say(event, **more):
    line = json.dumps({"event": event, "t": time.monotonic(), **more})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextlib.asynccontextmanager
async def watched(context):
    """Reports the moment in which the caller asks for the end, whatever the handler does meanwhile."""
    reported = False

    def report():
        nonlocal reported
        if not reported:
            say("stopped", id=context.id(), how="kill" if context.is_killed() else "stop")
        reported = True

    async def wait():
        await context.async_killed_or_stopped()
        report()

    watch = asyncio.ensure_future(wait())
    try:
        yield
    finally:
        watch.cancel()
        if context.is_stopped():  # the handler may have seen it first
            report()
