"""The speed of `miras explore`, and its health under hostile requests.

    python benchmarks/explore.py latency [SPEC…]    milliseconds from a changed spec to everything that the page shows of it
    python benchmarks/explore.py hostile [COUNT]    requests that no page sends, 10,000 of them; the memory of server and workers

Every text is one that the server has not seen: another number stands in its first comment. "first" is before a kind's formulas were derived
once. Processor time is the time on an idle machine.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

from miras_compiler.spec.shipped import shipped_specs
from miras_compiler.spec.zoo import read_zoo

TIMES = 5
PAGE = 4096


class Server:
    """A running `miras explore`."""

    def __init__(self, process: subprocess.Popen[str], port: int, token: str) -> None:
        self.process, self.port = process, port
        self.headers = {"Host": f"127.0.0.1:{port}", "X-Miras-Token": token, "Content-Type": "application/json"}
        self.wire = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

    def ask(self, question: str, given: object, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        body = given if isinstance(given, bytes) else json.dumps(given).encode()
        self.wire.request("POST", f"/ask/{question}", body, {**self.headers, **(headers or {})})
        response = self.wire.getresponse()
        return response.status, response.read()

    def processes(self) -> list[int]:
        """The server and each process below it."""
        found = [self.process.pid]
        for pid in found:
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def memory(self) -> list[int]:
        """MiB of each process."""
        return [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE // 2**20 for pid in self.processes()]

    def seconds(self) -> float:
        """Of processor time that all have taken."""
        return 1e-9 * sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self.processes())


@contextmanager
def served() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "miras_compiler", "explore", folder, "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        found = re.search(r":(\d+)/#token=(\S+)", process.stdout.readline())
        assert found
        yield Server(process, int(found[1]), found[2])
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def latency(names: list[str]) -> None:
    with served() as server:
        server.ask("start", {})
        server.ask("advice", {"text": shipped_specs()["delta_net"].path.read_text(encoding="utf-8"), "file": "x.yaml"})
        print(f"{'':55} {'elapsed':^23} {'processor':^15}")
        print(f"{'spec':24} {'memory':8} {'form':22} {'first':>7} {'median':>7} {'worst':>7} {'first':>7} {'median':>7}   ms")
        for name in names:
            text = shipped_specs()[name].path.read_text(encoding="utf-8-sig")
            took, busy = [], []
            for turn in range(TIMES + 1):
                begun, before = time.perf_counter(), server.seconds()
                status, _ = server.ask("look", {"text": f"# {turn}\n{text}", "file": f"{name}.yaml"})
                took.append(1000 * (time.perf_counter() - begun))
                busy.append(1000 * (server.seconds() - before))
                assert status == 200
            entry = read_zoo()[name]
            form = entry.form.replace("_", " ")
            elapsed = f"{took[0]:7.0f} {statistics.median(took[1:]):7.0f} {max(took[1:]):7.0f}"
            print(f"{name:24} {entry.memory:8} {form:22} {elapsed} {busy[0]:7.0f} {statistics.median(busy[1:]):7.0f}", flush=True)


HOSTILE: tuple[tuple[str, object, dict[str, str]], ...] = (
    ("look", {"text": "name: x\n", "file": "x.yaml"}, {"Host": "evil.example"}),
    ("look", {"text": "name: x\n", "file": "x.yaml"}, {"Origin": "http://evil.example"}),
    ("look", {"text": "name: x\n", "file": "x.yaml"}, {"X-Miras-Token": "stale"}),
    ("look", b"[" * 200_000, {}),
    ("look", {"text": "[" * 5000, "file": "x.yaml"}, {}),
    ("look", {"text": "a: &x [*x]\n" * 1000, "file": "x.yaml"}, {}),
    ("look", {"text": "a: !!python/object/apply:os.system [id]\n", "file": "x.yaml"}, {}),
    ("look", {"text": "".join(f"k{i}: {i}\n" for i in range(600)), "file": "x.yaml"}, {}),
    ("look", {"text": "name: a\nmemory: {kind: matrix}\nattentional_bias: {kind: formula, loss: '" + "exp(" * 40 + "u" + ")" * 40
              + "'}\ngates: {eta: {}}\n", "file": "x.yaml"}, {}),
    ("look", {"text": "name: a\nmemory: {kind: mlp, layers: 9999999999999999999}\n", "file": "x.yaml"}, {}),
    ("change", {"text": "name: x\n", "file": "x.yaml", "key": "chunk.size", "value": 3}, {}),
    ("change", {"text": "name: x\n", "file": "x.yaml", "key": "a: b\nc", "value": 3}, {}),
    ("save", {"file": "../../x.yaml", "text": "x"}, {}),
    ("open", {"name": "/etc/passwd", "shipped": False}, {}),
    ("code", {"text": "name: x\n", "file": "x.yaml", "path": "/etc/passwd"}, {}),
    ("compare", {"text": "x", "file": "x.yaml", "other": "delta_net"}, {}),
    ("__init__", {}, {}),
)  # fmt: skip


def hostile(count: int) -> None:
    with served() as server:
        server.ask("start", {})
        answers: dict[int, int] = {}
        begun = time.perf_counter()
        for number, (question, given, headers) in enumerate(islice(cycle(HOSTILE), count)):
            if number % (count // 10) == 0:
                print(f"{number:6} requests: MiB {server.memory()}", flush=True)
            try:
                status, _ = server.ask(question, given, headers)
            except (http.client.HTTPException, OSError):
                server.wire.close()
                status = 0
            answers[status] = answers.get(status, 0) + 1
        print(f"{count:6} requests: MiB {server.memory()}, {time.perf_counter() - begun:.0f} s, answers by status {answers}")
        text = shipped_specs()["delta_net"].path.read_text(encoding="utf-8")
        status, _ = server.ask("look", {"text": text, "file": "x.yaml"})
        print(f"then a spec of the page: {status}")


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "latency":
        latency(rest or [name for name, entry in read_zoo().items() if entry.rule])
    else:
        hostile(int(rest[0]) if rest else 10_000)
