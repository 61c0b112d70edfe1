"""A real Dynamo worker that registers models without files of their own, for the OpenAI frontend.

It answers with the words of the prompt, one by chunk. A prompt "!{...}" asks for more: `words` (how many, instead),
`delay_ms` (before each), `fail_after` (raises ValueError after so many). A realtime model names each event that it is
sent, and ends with the first `response.create`. Every model has an endpoint of its own, `dyn.<model>.generate`. Its
report: docs/testing.md.
"""

import argparse
import asyncio
import json
import os
import signal

from dynamo._core import ModelInput, ModelType, WorkerType, register_model
from dynamo.runtime import DistributedRuntime

from report import say, watched

EMBEDDING = [0.5, -1.0, 0.25]


def plan_of(prompt):
    """The words of an answer, the pause before each in seconds, and where it fails."""
    if not prompt.startswith("!"):
        return prompt.split(), 0, None
    asked = json.loads(prompt[1:])
    words = [f"w{number}" for number in range(asked.get("words", 3))]
    return words, asked.get("delay_ms", 0) / 1000, asked.get("fail_after")


def prompt_of(request):
    if "prompt" in request:
        return request["prompt"]
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def chunk(model, request, text, last):
    common = {"id": "answer-1", "created": 1, "model": model}
    finish = "stop" if last else None
    if "prompt" in request:
        choice = {"index": 0, "text": text, "finish_reason": finish}
        return common | {"object": "text_completion", "choices": [choice]}
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish}
    return common | {"object": "chat.completion.chunk", "choices": [choice]}


def usage(words):
    return {"prompt_tokens": words, "completion_tokens": words, "total_tokens": 2 * words}


def answer_for(model):
    async def answer(request, context):
        say("request", id=context.id(), model=model)
        words, delay, fail_after = plan_of(prompt_of(request))
        async with watched(context):
            for number, word in enumerate(words):
                if number == fail_after:
                    raise ValueError("as the request asked")
                if delay:
                    await asyncio.sleep(delay)
                yield chunk(model, request, word + " ", number == len(words) - 1)
            yield chunk(model, request, "", True) | {"choices": [], "usage": usage(len(words))}
        say("done", id=context.id(), words=len(words))

    return answer


def embed_for(model):
    async def embed(request, context):
        say("request", id=context.id(), model=model)
        inputs = request["input"] if isinstance(request["input"], list) else [request["input"]]
        data = [{"object": "embedding", "index": number, "embedding": EMBEDDING} for number in range(len(inputs))]
        count = len(inputs)
        yield {"object": "list", "model": model, "data": data, "usage": {"prompt_tokens": count, "total_tokens": count}}

    return embed


def converse_for(model):
    async def converse(events, context):
        say("request", id=context.id(), model=model)
        sent = 0
        async with watched(context):
            async for event in events:
                yield {
                    "type": "response.output_text.delta",
                    "event_id": f"event-{sent}",
                    "response_id": "response-1",
                    "item_id": "item-1",
                    "output_index": 0,
                    "content_index": sent,
                    "delta": event["type"],
                }
                sent += 1
                if event["type"] == "response.create":
                    break
        say("done", id=context.id(), words=sent)

    return converse


async def serve(runtime, model, kind, handler):
    endpoint = runtime.endpoint(f"dyn.{model}.generate")
    await register_model(
        ModelInput.Text, kind, endpoint, model, model, worker_type=WorkerType.Aggregated, skip_model_assets=True
    )
    if kind == ModelType.Realtime:
        await endpoint.serve_bidirectional_endpoint(handler)
    else:
        await endpoint.serve_endpoint(handler)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chat", action="append", default=[], metavar="MODEL", help="for chat and completions")
    parser.add_argument("--embeddings", action="append", default=[], metavar="MODEL")
    parser.add_argument("--realtime", action="append", default=[], metavar="MODEL", help="over a WebSocket")
    options = parser.parse_args()

    loop = asyncio.get_running_loop()
    runtime = DistributedRuntime(loop, "file", "tcp")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.shutdown)
    models = [serve(runtime, one, ModelType.Chat | ModelType.Completions, answer_for(one)) for one in options.chat]
    models += [serve(runtime, one, ModelType.Embedding, embed_for(one)) for one in options.embeddings]
    models += [serve(runtime, one, ModelType.Realtime, converse_for(one)) for one in options.realtime]
    say("ready", pid=os.getpid())
    await asyncio.gather(*models)
    say("served")


asyncio.run(main())
