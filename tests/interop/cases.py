"""What a worker and a client do together: each case drives a pair and says what both saw, in terms of no language."""

import math

from interop import CONVERSE, Record, address_of, copied_record, error_class
from peers.canonical import ItemDigest, digest
from proxy import Proxy

LONG = {"items": 500, "delay_ms": 20}
MEBIBYTE = 1 << 20
NOTICED_WITHIN = 1.0  # seconds from the wish of a caller to the handler; usually less than a delay of the handler

INTEGERS = [
    0, 1, -1, 127, 128, -32, -33, -128, -129, 255, 256, 32767, 32768, -32769, 65535, 65536, 2**31 - 1, 2**31, -(2**31),
    -(2**31) - 1, 2**32 - 1, 2**32, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1,
]  # fmt: skip
FLOATS = [
    0.0, -0.0, 1.0, -1.5, 0.1, 1 / 3, 1e15, 1e16, 1e21, 1e-7, 123456789.125, 2.0**53, 2.0**64, 5e-324,
    2.2250738585072014e-308,    1.7976931348623157e308, math.pi, 1e23, 9007199254740993.0, 0.30000000000000004,
]  # fmt: skip
TEXTS = [
    "", "plain", "grüße", "漢字かな", "😀 👩‍👩‍👧", "e\u0301", "\u0000\u0001\u001f\u007f", 'quote " backslash \\ slash /',
    "line\nbreak\ttab",    "\u2028\u2029\ufeff", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "é" * 33_000,
]  # fmt: skip

# How a call ends that its handler has seen.
OF_THE_HANDLER = (None, "InvalidRequest", "Internal", "DeadlineExceeded")


def deeply_nested(depth):
    value = "bottom"
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    return value


NESTED = [
    None, True, False, [], {}, [[]], [{}], {"": ""}, {"ключ": {"a": [1, {"b": None}]}}, deeply_nested(60),
    {f"key {i}": i for i in range(70)}, list(range(70)), {"zuletzt": 1, "anfang": 2},
]  # fmt: skip


def saw(end):
    """A client's view of one call."""
    (result,) = end["results"]
    return {
        "outcome": result["outcome"],
        "items": result["items"],
        "digest": result["digest"],
        "class": error_class(result["error"]),
    }


def ended(end):
    """The same, where how much came until the end depends on the moment."""
    return {key: value for key, value in saw(end).items() if key in ("outcome", "class")}


def one_call(request, **options):
    def case(pair):
        seen = saw(pair.exchange(request, **options))
        if seen["class"] in OF_THE_HANDLER:
            pair.worker.event("request", digest=digest(request))  # the very values that were sent
        return seen

    return case


def values(items):
    return one_call({"values": items})


def handler_end(pair, since):
    """How the handler was told to end, and that it was soon."""
    stopped = pair.worker.event("stopped")
    late = stopped["t"] - since
    if late > NOTICED_WITHIN:
        raise AssertionError(f"the handler was told after {late:.3f} s")
    return stopped["how"]


def is_told_to_end(pair, since):
    """Where the caller is lost: FIN or RST, whichever the kernel finds right, make it a stop or a kill."""
    return handler_end(pair, since) in ("stop", "kill")


def stop(pair):
    name = pair.begin(LONG, stop_after=2)
    asked = pair.client.event("stop", id=name)["t"]
    return {"handler": handler_end(pair, asked)} | ended(pair.end(name))


def drop(pair):
    name = pair.begin(LONG, drop_after=2)
    asked = pair.client.event("drop", id=name)["t"]
    return {"handler": handler_end(pair, asked)} | saw(pair.end(name))


def client_killed(pair):
    with pair.fresh() as pair:
        name = pair.begin(LONG)
        pair.client.event("item", id=name, number=2)
        since = pair.client.kill()
        return {"handler told to end": is_told_to_end(pair, since)}


def worker_killed(pair):
    with pair.fresh() as pair:
        name = pair.begin(LONG)
        pair.client.event("item", id=name, number=2)
        pair.worker.kill()
        return ended(pair.end(name))


def worker_terminated(pair):
    with pair.fresh() as pair:
        name = pair.begin({"items": 40, "delay_ms": 20})
        pair.client.event("item", id=name, number=2)
        pair.worker.terminate()
        return saw(pair.end(name)) | {"status": pair.worker.wait()}


def unknown_endpoint(pair):
    return saw(pair.exchange({"items": 3}, path="interop.backend.nothing", wait=False))


def unknown_path(pair):
    """A record that leads to a worker which does not know it."""
    record = pair.record()
    host, port, _ = address_of(record)
    copy = copied_record(record, "interop.backend.mistaken", f"{host}:{port}/interop/nobody")
    with Record(pair.kv, copy):
        return saw(pair.exchange({"items": 3}, path="interop.backend.mistaken"))


def concurrent(pair):
    request = {"items": 5, "delay_ms": 2, "text": "stream "}
    results = pair.exchange(request, count=200, timeout=60)["results"]
    for number, one in enumerate(results):
        if one["outcome"] == "ok":
            pair.worker.event("request", digest=digest(request | {"text": f"stream {number}"}))
    return {
        "ok": sum(one["outcome"] == "ok" for one in results),
        "classes": sorted({str(error_class(one["error"])) for one in results}),
        "items": sum(one["items"] for one in results),
        "digests": [results[0]["digest"], results[-1]["digest"]],
        "different": len({one["digest"] for one in results}),
    }


def through_proxy(kind, call, cut_after=None):
    """The call, with the bytes of both planes in other pieces, or a worker lost in the middle of its response."""

    def case(pair):
        record = pair.record()
        host, port, path = address_of(record)
        with Proxy((host, port), kind, cut_after) as proxy:
            # A name of its own: who lost a worker of one keeps away from it for a while.
            endpoint = f"interop.backend.proxy-{proxy.port}"
            with Record(pair.kv, copied_record(record, endpoint, f"127.0.0.1:{proxy.port}/{path}")):
                seen = call(pair, endpoint, proxy)
            if proxy.failure or proxy.calls_home == 0:
                raise AssertionError(f"the proxy: {proxy.failure}, {proxy.calls_home} connections called home")
            return seen

    return case


def three_items_at(pair, endpoint, _proxy):
    return saw(pair.exchange({"items": 3, "text": "pieces"}, path=endpoint))


def cut_off(pair, endpoint, _proxy):
    end = pair.exchange(LONG, path=endpoint)
    return saw(end) | {"handler told to end": is_told_to_end(pair, end["t"])}


def requests_lost(pair, endpoint, proxy):
    """A running response does not hang on the connection that its request came by; nor do later requests."""
    name = pair.begin({"items": 20, "delay_ms": 20}, path=endpoint)
    pair.client.event("item", id=name, number=2)
    proxy.lose_requests()
    first = saw(pair.end(name))
    return {"running": first, "next": saw(pair.exchange({"items": 3}, path=endpoint))}


def stop_at(pair, endpoint, _proxy):
    name = pair.begin({"items": 20, "delay_ms": 300}, path=endpoint, stop_after=1)
    asked = pair.client.event("stop", id=name)["t"]
    return {"handler": handler_end(pair, asked)} | ended(pair.end(name))


INPUTS = [{"n": 1}, "two", 3.0, None]


def bidirectional(pair):
    return saw(pair.exchange(None, path=CONVERSE, inputs=INPUTS))


def answers_to_inputs():
    items = [{"i": number, "item": one} for number, one in enumerate(INPUTS)] + [{"end": len(INPUTS)}]
    answer = ItemDigest()
    for item in items:
        answer.add(item)
    return {"outcome": "ok", "items": len(items), "digest": answer.hex(), "class": None}


def error(fail_after, fail):
    return one_call({"items": 4, "fail_after": fail_after, "fail": fail})


CASES = {
    "three_items": one_call({"items": 3, "text": "hello"}),
    "no_items": one_call({"items": 0}),
    "thousand_items": one_call({"items": 1000}),
    "mebibyte_items": one_call({"items": 3, "size": MEBIBYTE}),
    "mebibyte_request": one_call({"items": 1, "text": "." * MEBIBYTE}),
    "unicode": values(TEXTS),
    "nested": values(NESTED),
    "integers": values(INTEGERS),
    "floats": values(FLOATS),
    "error_before_the_first": error(0, "invalid"),
    "error_after_two": error(2, "invalid"),
    "error_internal": error(2, "internal"),
    "error_deadline": error(2, "deadline"),
    "error_disconnected": error(2, "disconnected"),
    "stop": stop,
    "drop": drop,
    "client_killed": client_killed,
    "worker_killed": worker_killed,
    "worker_terminated": worker_terminated,
    "unknown_endpoint": unknown_endpoint,
    "unknown_path": unknown_path,
    "concurrent": concurrent,
    "in_bytes": through_proxy("bytes", three_items_at),
    "in_pieces": through_proxy("pieces", three_items_at),
    "merged": through_proxy("merged", three_items_at),
    "stop_in_bytes": through_proxy("bytes", stop_at),
    "cut_before_the_prologue": through_proxy("merged", cut_off, cut_after=1),
    "cut_before_the_first": through_proxy("merged", cut_off, cut_after=2),
    "cut_after_two": through_proxy("merged", cut_off, cut_after=4),
    "requests_lost": through_proxy("merged", requests_lost),
}
# What no real client can be made to do (Python has no call for it), and what is expected instead of its record.
OURS_ONLY = {"bidirectional": bidirectional}
OURS_EXPECTED = {"bidirectional": answers_to_inputs()}
