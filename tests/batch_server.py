"""A server of OpenAI's Batch API on loopback: each batch is done when it has been looked at `looks` times."""

import contextlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answered = tuple[int, bytes] | None


class BatchServer:
    """What `answer(request body)` returns is each request's result: status and body, or None for one that is lost."""

    def __init__(
        self, answer: Callable[[dict[str, Any]], Answered], *, looks: int = 2, status: str = "completed"
    ) -> None:
        self.answer, self.looks, self.status = answer, looks, status
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []  # bodies of requests in batches
        self.status_of: Callable[[str, str], int] = lambda method, path: 200
        self.most_open = 0  # batches that were under way at a time
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.status_of("POST", self.path)
                self.send(outer.post(self.path, content) if status == 200 else {}, status)

            def do_GET(self) -> None:
                status = outer.status_of("GET", self.path)
                self.send(outer.get(self.path) if status == 200 else {}, status)

            def send(self, content: Any, status: int) -> None:
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "BatchServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def post(self, path: str, content: bytes) -> Any:
        if path.endswith("/files"):
            name = f"file-{len(self.files)}"
            self.files[name] = re.search(rb"\r\n\r\n(\{.*\}\n)\r\n--", content, re.DOTALL)[1]  # type: ignore[index]
            return {"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "x", "purpose": "batch"}
        asked = json.loads(content)
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {
            "id": name, "object": "batch", "endpoint": asked["endpoint"], "input_file_id": asked["input_file_id"],
            "completion_window": "24h", "created_at": 1, "status": "in_progress", "looks": self.looks,
            "metadata": asked["metadata"], "request_counts": {"total": 1, "completed": 0, "failed": 0},
        }  # fmt: skip
        under_way = [batch for batch in self.batches.values() if batch["status"] == "in_progress"]
        self.most_open = max(self.most_open, len(under_way))
        return self.batches[name]

    def get(self, path: str) -> Any:
        found = re.search(r"/files/([^/]+)/content", path)
        if found:
            return self.files[found[1]]
        if re.search(r"/batches(\?.*)?$", path):
            return {"object": "list", "data": list(self.batches.values()), "has_more": False}
        batch = self.batches[path.rpartition("/")[2]]
        batch["looks"] -= 1
        if batch["looks"] <= 0 and batch["status"] == "in_progress":
            self._end(batch)
        return batch

    def _end(self, batch: dict[str, Any]) -> None:
        batch["status"] = self.status
        if self.status == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "invalid_model", "message": "secret"}]}
            return
        results: dict[str, list[str]] = {"output_file_id": [], "error_file_id": []}
        for line in self.files[batch["input_file_id"]].splitlines():
            content = json.loads(line)
            self.asked.append(content["body"])
            answered = self.answer(content["body"])
            if answered is None:
                continue
            status, body = answered
            response = {"status_code": status, "request_id": "r", "body": json.loads(body)}
            kind = "output_file_id" if status == 200 else "error_file_id"
            results[kind].append(json.dumps({"id": "x", "custom_id": content["custom_id"], "response": response}))
        for kind, lines in results.items():
            if lines:
                batch[kind] = f"file-{len(self.files)}"
                self.files[batch[kind]] = "\n".join(reversed(lines)).encode()
