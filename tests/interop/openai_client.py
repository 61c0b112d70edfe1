"""What an HTTP client of the OpenAI frontend sees. Standard library only."""

import contextlib
import dataclasses
import http.client
import json
import time

PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "responses": "/v1/responses",
}


@dataclasses.dataclass
class Answer:
    """Of one request. `outcome`: ok, http error, stream error, cut (no end was seen) or cancelled (by us)."""

    outcome: str = "cut"
    status: int = 0
    text: str = ""
    chunks: int = 0
    finish: str | None = None
    usage: dict | None = None
    error: dict | None = None
    body: dict | None = None  # of an answer in one piece
    cancelled_at: float = 0.0  # time.monotonic()

    def take(self, part):
        for choice in part.get("choices", []):
            piece = choice.get("delta") or choice.get("message") or {}
            self.text += choice.get("text") or piece.get("content") or ""
            self.finish = choice.get("finish_reason") or self.finish
        self.usage = part.get("usage") or self.usage


def body_of(api, model, prompt, stream, extra):
    body = {"model": model}
    if api == "chat":
        body["messages"] = [{"role": "user", "content": prompt}]
    else:
        body["prompt" if api == "completions" else "input"] = prompt
    if stream:
        body["stream"] = True
    return body | extra


class OpenAiClient:
    def __init__(self, port, patience):
        self._port = port
        self._patience = patience

    def _connection(self):
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._patience)

    def get(self, path):
        """(status, text)"""
        connection = self._connection()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def models(self):
        return sorted(one["id"] for one in json.loads(self.get("/v1/models")[1])["data"])

    def ask(self, model, prompt, api="chat", stream=False, cancel_after=None, **extra):
        """One request; `cancel_after` closes the connection after so many chunks of a stream."""
        answer = Answer()
        connection = self._connection()
        try:
            body = json.dumps(body_of(api, model, prompt, stream, extra))
            connection.request("POST", PATHS[api], body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer.status = response.status
            if "event-stream" in response.getheader("content-type", ""):
                self._read_stream(response, answer, cancel_after)
            else:
                self._read_body(response, answer)
        except (OSError, http.client.HTTPException) as error:
            answer.error = {"type": type(error).__name__, "message": str(error)}
        finally:
            connection.close()
        return answer

    @staticmethod
    def _read_body(response, answer):
        text = response.read().decode()
        with contextlib.suppress(ValueError):  # some errors are plain text
            answer.body = json.loads(text)
        if response.status == 200:
            answer.outcome = "ok"
            answer.take(answer.body)
        else:
            answer.outcome, answer.error = "http error", answer.body or {"message": text}

    @staticmethod
    def _read_stream(response, answer, cancel_after):
        while line := response.readline():
            text = line.decode().rstrip("\n")
            if text == "data: [DONE]":
                answer.outcome = "stream error" if answer.error else "ok"
            elif text.startswith("data: "):
                part = json.loads(text.removeprefix("data: "))
                if "error" in part and "choices" not in part:
                    answer.error = part["error"]
                else:
                    answer.chunks += 1
                    answer.take(part)
            if answer.chunks == cancel_after:
                answer.outcome, answer.cancelled_at = "cancelled", time.monotonic()
                return
