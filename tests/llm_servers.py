"""Servers on loopback for tests of captions: llmock, and one that answers whatever a test wants."""

import contextlib
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GOOD = '{"caption": "A dog barks while rain falls in the background."}'


class Mock:
    """A running llmock."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.base_url = f"{self.root}/v1"

    def call(self, path: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(urllib.request.Request(self.root + path, data=body), timeout=5) as response:
            return json.loads(response.read())

    def script(self, *behaviors: dict[str, Any], reply: str = GOOD) -> None:
        """Forget what was, then behave so and answer `reply`."""
        self.call("/_llmock/reset", {})
        always = {"type": "reply", "text": reply, "times": None}
        self.call("/_llmock/scenario", {"behaviors": [*behaviors, always]})

    def requests(self) -> list[dict[str, Any]]:
        return list(self.call("/_llmock/requests")["requests"])

    def faults_of_client(self) -> list[str]:
        return [finding["code"] for finding in self.call("/_llmock/verdict")["findings"]]


@contextlib.contextmanager
def llmock() -> Iterator[Mock]:
    """A real llmock process on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("llmock")),
        "serve",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        mock = Mock(port)
        for _ in range(200):
            with contextlib.suppress(OSError):
                mock.call("/_llmock/requests")
                break
            time.sleep(0.1)
        yield mock
    finally:
        process.kill()
        process.wait()


def completion(content: Any, *, finish_reason: Any = "stop", **more: Any) -> bytes:
    """The body of a chat completion."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return json.dumps(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            **more,
        }
    ).encode()


class OddServer:
    """Answers each POST with what `answer(request body)` returns: status, body, headers."""

    def __init__(self, answer: Callable[[dict[str, Any]], tuple[Any, ...]]) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.bodies.append(body)
                outer.headers.append(dict(self.headers))
                outer.paths.append(self.path)
                status, content, *more = answer(body)
                with contextlib.suppress(OSError):  # the client may have gone
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    for name, value in more[0].items() if more else ():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "OddServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked_about(self) -> list[str]:
        """The number in the label of each request (soundscape_rows.numbered)."""
        found = [re.search(r"number n(\d+)x", str(body["messages"])) for body in self.bodies]
        return [match[1] for match in found if match]


class DripServer:
    """Answers one byte every 50 ms, and breaks the connection after `resets_after` bytes if that is given."""

    def __init__(self, *, resets_after: int | None = None) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._resets_after = resets_after
        self._ended = threading.Event()
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def __enter__(self) -> "DripServer":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            body = completion(GOOD)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            connection.sendall(b"Content-Length: %d\r\n\r\n" % len(body))
            for place in range(len(body)):
                if self._ended.wait(0.0 if self._resets_after else 0.05) or place == self._resets_after:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                connection.sendall(body[place : place + 1])


def timelines(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What a request asks about: one soundscape, or several."""
    (content,) = (message["content"] for message in body["messages"][1:2])
    found = json.loads(content)
    return found if isinstance(found, list) else [found]


def true_caption(timeline: dict[str, Any]) -> str:
    """A caption that passes every check where sounds happen once."""
    names = [sound["label"] for sound in timeline["sounds"]]
    return f"One can hear {', then '.join(names)}."


def truthful(body: dict[str, Any]) -> tuple[int, bytes]:
    """Answers each request about soundscapes as a good model would."""
    asked = timelines(body)
    form = body.get("response_format", {}).get("json_schema", {}).get("name", "caption")
    if form == "phrases":
        phrases = [{"id": sound["id"], "phrase": f"a {sound['label']}"} for sound in asked[0]["sounds"]]
        content = json.dumps({"phrases": phrases})
    elif form == "captions":
        content = json.dumps({"captions": [{"id": one["id"], "caption": true_caption(one)} for one in asked]})
    else:
        content = json.dumps({"caption": true_caption(asked[0])})
    return 200, completion(content, usage={"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110})
