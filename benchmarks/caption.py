"""Captions from a server that takes 200 ms an answer: throughput beside the ideal, the client's CPU, its memory.

    python benchmarks/caption.py --num 100000

Simulates soundscapes of the built-in sounds (plans only), starts a small server that answers each question truthfully
after the latency, and captions them all with 64 calls at a time. The ideal is that every call takes the latency and
nothing else: num / concurrency * latency. CPU is that of the whole stage in this process, user and system, all checks
and files included; what the openai client alone takes for such calls is measured after it. Memory is resident memory
at the end less that after a tenth. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

NUM_ALONE = 4_000  # calls


def main() -> None:
    """Serve, or caption and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=100_000, help="soundscapes")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--per-request", type=int, default=1)
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve, options.latency))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), options)
    sys.stdout.write(json.dumps({"command": sys.argv, **found}) + "\n")


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make what is needed, caption, and measure."""
    from curation.bank import build_bank
    from curation.caption import caption
    from curation.config import load_recipe
    from curation.simulate import simulate

    build_bank(["builtin"], folder / "bank", sample_rate=16_000, workers=2)
    data = folder / "data"
    recipe = load_recipe("finelap-100k")
    simulate(folder / "bank", data, recipe=recipe, num=options.num, audio_format="none", workers=2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--serve", str(port), "--latency", str(options.latency)]
    server = subprocess.Popen(command)
    try:
        wait_for(port)
        memory = Memory()
        before, started = cpu_seconds(), time.perf_counter()
        report = caption(
            data,
            via="openai",
            model="mock",
            base_url=f"http://127.0.0.1:{port}/v1",
            concurrency=options.concurrency,
            per_request=options.per_request,
        )
        wall, cpu = time.perf_counter() - started, cpu_seconds() - before
        growth = memory.growth(wall)
        client_alone = asyncio.run(cpu_of_client_alone(port, num=NUM_ALONE, concurrency=options.concurrency))
    finally:
        server.kill()
    ideal = options.num / options.per_request / options.concurrency * options.latency
    return {
        "captions": report.num_done,
        "fallbacks": dict(report.fallbacks),
        "asked_again": dict(report.asked_again),
        "wall_s": round(wall, 1),
        "ideal_s": round(ideal, 1),
        "share_of_ideal": round(ideal / wall, 3),
        "client_cpu_ms": round(1000 * cpu / report.num_done, 3),
        "openai_client_cpu_ms": round(1000 * client_alone / NUM_ALONE, 3),
        "rss_growth_mb": round(growth, 1),
        "rss_mb": round(memory.now(), 1),
    }


async def cpu_of_client_alone(port: int, *, num: int, concurrency: int) -> float:
    """Seconds of this process for calls of the same openai client whose answers nothing is done with."""
    from curation.llm import Server, make_client

    client = make_client(Server(model="mock", base_url=f"http://127.0.0.1:{port}/v1"))
    timeline = {"background": "rain", "sounds": [{"label": "dog bark", "times": [[0.5, 1.25]]}] * 4}
    messages = [{"role": "system", "content": "word " * 300}, {"role": "user", "content": json.dumps(timeline)}]
    left = iter(range(num))

    async def ask() -> None:
        for _ in left:
            await client.post("/chat/completions", cast_to=object, body={"model": "mock", "messages": messages})

    before = cpu_seconds()
    await asyncio.gather(*(ask() for _ in range(concurrency)))
    seconds = cpu_seconds() - before
    await client.close()
    return seconds


def cpu_seconds() -> float:
    """User and system time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Memory:
    """Resident memory of this process, looked at twice a second."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._seen: list[tuple[float, float]] = []
        threading.Thread(target=self._look, daemon=True).start()

    def now(self) -> float:
        """Megabytes."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def growth(self, wall: float) -> float:
        """Megabytes at the end above those after a tenth of the time."""
        first = next((size for at, size in self._seen if at >= wall / 10), self.now())
        return self.now() - first

    def _look(self) -> None:
        while True:
            self._seen.append((time.perf_counter() - self._started, self.now()))
            time.sleep(0.5)


def wait_for(port: int) -> None:
    """Until the server listens."""
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the server did not start")


async def serve(port: int, latency: float) -> None:
    """Answer chat completions about soundscapes, each after `latency` seconds."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                question = await reader.readexactly(int(length.split(b":")[1]))
                arrived = time.perf_counter()
                body = completion(json.loads(question))
                await asyncio.sleep(max(0.0, latency - (time.perf_counter() - arrived)))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    await server.serve_forever()


def completion(question: dict[str, Any]) -> bytes:
    """A true caption for each soundscape of a request."""
    asked = json.loads(question["messages"][1]["content"])
    if isinstance(asked, list):
        content = json.dumps({"captions": [{"id": one["id"], "caption": caption_of(one)} for one in asked]})
    else:
        content = json.dumps({"caption": caption_of(asked)})
    message = {"role": "assistant", "content": content}
    usage = {"prompt_tokens": 500, "completion_tokens": 30, "total_tokens": 530}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def caption_of(timeline: dict[str, Any]) -> str:
    """Its sounds in the order in which they begin."""
    names = [sound["label"] for sound in timeline["sounds"]] or [timeline["background"]]
    return f"One can hear {', then '.join(names)}."


if __name__ == "__main__":
    main()
