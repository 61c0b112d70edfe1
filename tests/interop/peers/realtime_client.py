"""One session over the frontend's WebSocket: sends the events it is given, reports what comes. Its report:
docs/testing.md. Runs in the virtual environment of the frontend, which has a WebSocket client.
"""

import argparse
import asyncio

import aiohttp

from report import say


def content_of(event, model):
    if event == "session.update":  # with this one the frontend chooses the model
        return {"type": event, "session": {"type": "realtime", "model": model}}
    return {"type": event}


async def session(options):
    url = f"ws://127.0.0.1:{options.port}/v1/realtime?model={options.model}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        for event in options.events:
            await socket.send_json(content_of(event, options.model))
        received = 0
        async for message in socket:
            say("received", message=message.json())
            received += 1
            if received == options.close_after:
                say("closing")
                break
        code = socket.close_code
    say("closed", code=code)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--model", required=True)
parser.add_argument("--close-after", type=int, default=0, metavar="K", help="closes after K events")
parser.add_argument("events", nargs="+", help="types of the events to send")
asyncio.run(session(parser.parse_args()))
