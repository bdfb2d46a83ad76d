"""Servers on loopback for real clients: one that answers as OpenAI's API, one that keeps what it is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE: dict[str, dict[str, Any]] = {
    "gpt-4o": {
        "prompt_tokens": 1200,
        "completion_tokens": 340,
        "total_tokens": 1540,
        "prompt_tokens_details": {"cached_tokens": 800, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
    "o4-mini": {
        "prompt_tokens": 2000,
        "completion_tokens": 900,
        "total_tokens": 2900,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 640, "audio_tokens": 0},
    },
    "text-embedding-3-small": {"prompt_tokens": 42, "total_tokens": 42},
}
REFUSALS = {"limited": (429, "rate_limit_exceeded"), "broken": (500, "server_error")}


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[ThreadingHTTPServer]:
    """A server of ``handler`` on a free port of loopback, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _OpenAI(_Quiet):
    """Chat completions, whole and streamed, and embeddings; the model's name decides what is said."""

    def do_POST(self) -> None:
        asked = json.loads(self.body())
        model = asked["model"]
        if model in REFUSALS:
            status, code = REFUSALS[model]
            self._say({"error": {"message": f"{model}.", "type": code, "code": code}}, status)
        elif self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}]
            self._say({"object": "list", "data": data, "model": model, "usage": USAGE[model]})
        elif asked.get("stream"):
            self._stream(model, (asked.get("stream_options") or {}).get("include_usage", False))
        else:
            message = {"role": "assistant", "content": "On its way.", "refusal": None}
            self._say(
                {
                    "id": "chatcmpl-1",
                    "object": "chat.completion",
                    "created": 1795348800,
                    "model": model,
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
                    "usage": USAGE[model],
                    "service_tier": "default",
                }
            )

    def _say(self, what: dict[str, Any], status: int = 200) -> None:
        self.answer(status, "application/json", json.dumps(what).encode())

    def _stream(self, model: str, with_usage: bool) -> None:
        common = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1795348800,
            "model": model,
        }
        deltas: list[tuple[dict[str, str], str | None]] = [
            ({"role": "assistant", "content": "On "}, None),
            ({"content": "its way."}, None),
            ({}, "stop"),
        ]
        chunks: list[dict[str, Any]] = [
            common | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": None}
            for delta, reason in deltas
        ]
        if with_usage:
            chunks.append(common | {"choices": [], "usage": USAGE[model]})
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]
        self.answer(200, "text/event-stream", "".join(lines).encode())


@contextmanager
def openai_stand_in() -> Iterator[str]:
    """The base URL of a server that answers as OpenAI's API does."""
    with serving(_OpenAI) as server:
        yield f"http://127.0.0.1:{server.server_port}/v1"


@dataclass(frozen=True)
class Sent:
    """A request as a client made it; names of headers are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Kept:
    """What a server was sent, in the order of arrival."""

    url: str
    requests: list[Sent] = field(default_factory=list)


@contextmanager
def keeper() -> Iterator[Kept]:
    """A server that accepts whatever is posted, and keeps it."""
    kept = Kept("")

    class Keeper(_Quiet):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.requests.append(Sent(self.path, headers, self.body()))
            self.answer(200, headers.get("content-type", "application/json"), b"")

    with serving(Keeper) as server:
        kept.url = f"http://127.0.0.1:{server.server_port}"
        yield kept
