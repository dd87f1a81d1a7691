"""The server of `miras explore` over the wire: the guard, the refusals, and the server's health and size."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from miras_compiler.explore.guard import BODY
from miras_compiler.spec.shipped import shipped_specs

pytestmark = pytest.mark.slow

TEXT = shipped_specs()["delta_net"].path.read_text(encoding="utf-8")


class Server(NamedTuple):
    process: subprocess.Popen[str]
    port: int
    token: str
    folder: Path

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        found = response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
        connection.close()
        return found

    def ask(self, question: str, given: object, **headers: str) -> tuple[int, Any]:
        own = {"X-Miras-Token": self.token, "Content-Type": "application/json", "Origin": f"http://127.0.0.1:{self.port}"}
        body = given if isinstance(given, bytes) else json.dumps(given).encode()
        status, answer, _ = self.request("POST", f"/ask/{question}", body, {**own, **headers})
        return status, json.loads(answer)


def start(folder: Path, port: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "miras_compiler", "explore", str(folder), "--port", str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("explore") / "specs"
    process = start(folder)
    assert process.stdout
    found = re.search(r"http://127\.0\.0\.1:(\d+)/#token=(\S+)", process.stdout.readline())
    assert found
    yield Server(process, int(found[1]), found[2], folder)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")  # an interrupt is the way to end it


def test_the_page_answers_a_question(server: Server) -> None:
    status, answer = server.ask("look", {"text": TEXT, "file": "mine.yaml"})
    assert status == 200
    assert answer["valid"]
    assert answer["form"]["kind"] == "triangular solve"
    status, answer = server.ask("look", {"text": "name: [", "file": "mine.yaml"})
    assert (status, answer["valid"]) == (200, False)


def test_a_spec_is_saved_opened_and_not_overwritten(server: Server) -> None:
    status, answer = server.ask("save", {"file": "a.yaml", "text": TEXT})
    assert (status, answer["files"]) == (200, ["a.yaml"])
    status, answer = server.ask("save", {"file": "a.yaml", "text": "name: other\n"})
    assert status == 200
    assert answer["there"]["text"] == TEXT
    assert (server.folder / "a.yaml").read_text() == TEXT
    status, answer = server.ask("save", {"file": "a.yaml", "text": "name: other\n", "over": answer["there"]["mark"]})
    assert (server.folder / "a.yaml").read_text() == "name: other\n"
    assert server.ask("open", {"name": "a.yaml", "shipped": False})[1]["text"] == "name: other\n"
    assert server.ask("open", {"name": "yaad", "shipped": True})[1]["name"] == "yaad.yaml"
    for name in ("../a.yaml", "/tmp/a.yaml", "a/b.yaml"):
        assert server.ask("save", {"file": name, "text": TEXT})[0] == 422
        assert server.ask("open", {"name": name, "shipped": False})[0] == 422
        assert server.ask("open", {"name": name, "shipped": True})[0] == 422
    assert [path.name for path in server.folder.parent.rglob("*")] == ["specs", "a.yaml"]


LOOK = {"text": "name: x\n", "file": "x.yaml"}
REFUSALS: list[tuple[str, int, object, dict[str, str]]] = [
    ("look", 403, LOOK, {"Host": "evil.example"}),
    ("look", 403, LOOK, {"Host": "127.0.0.1"}),
    ("look", 403, LOOK, {"Host": "localhost:1"}),
    ("look", 403, LOOK, {"Origin": "http://evil.example"}),
    ("look", 403, LOOK, {"Origin": "null"}),
    ("look", 403, LOOK, {"Origin": "http://127.0.0.1:1"}),
    ("look", 403, LOOK, {"Sec-Fetch-Site": "cross-site"}),
    ("look", 403, LOOK, {"Sec-Fetch-Site": "same-site"}),
    ("look", 403, LOOK, {"X-Miras-Token": "stale"}),
    ("look", 403, LOOK, {"X-Miras-Token": ""}),
    ("look", 403, LOOK, {"X-Miras-Token": "é"}),
    ("look", 415, LOOK, {"Content-Type": "text/plain"}),
    ("look", 415, LOOK, {"Content-Type": "application/x-www-form-urlencoded"}),
    ("look", 413, b"x" * (BODY + 1), {}),
    ("look", 400, b"", {}),
    ("look", 400, b"[" * 100_000, {}),
    ("look", 400, b"{" * 50, {}),
    ("look", 400, b"\xff\xfe", {}),
    ("look", 400, b'{"text": "\\ud800", "file": "x"}', {}),
    ("look", 400, {"text": "x"}, {}),
    ("look", 400, {**LOOK, "more": 1}, {}),
    ("look", 400, {**LOOK, "text": 1}, {}),
    ("look", 400, {**LOOK, "text": None}, {}),
    ("look", 400, {**LOOK, "file": "x" * 1000}, {}),
    ("change", 400, {**LOOK, "key": "a", "value": {"b": {"c": 1}}}, {}),
    ("change", 422, {**LOOK, "key": "a b", "value": 1}, {}),
    ("change", 422, {**LOOK, "key": "chunk.size", "yaml": "!!python/object:os.system x"}, {}),
    ("change", 422, {**LOOK, "key": "chunk.size", "yaml": "[" * 200}, {}),
    ("compare", 422, {**LOOK, "other": "../yaad"}, {}),
    ("nothing", 404, {}, {}),
    ("__class__", 404, {}, {}),
]


@pytest.mark.parametrize(("question", "status", "given", "headers"), REFUSALS)
def test_what_the_page_does_not_send_is_refused(server: Server, question: str, status: int, given: object, headers: dict[str, str]) -> None:
    found, answer = server.ask(question, given, **headers)
    assert found == status
    assert answer["refused"]


def test_pages_and_files_keep_to_themselves(server: Server) -> None:
    host = {"Host": f"127.0.0.1:{server.port}"}
    status, body, headers = server.request("GET", "/", headers=host)
    assert status == 200
    assert not re.search(rb"<script>|style=|<[^>]* on\w+=", body)
    assert server.token.encode() not in body
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers
    named = re.findall(rb'(?:src|href)="(/static/[^"]*)"', body)
    assert len(named) > 8
    for path in named:
        assert server.request("GET", path.decode(), headers=host)[0] == 200, path
    for path in (
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static//etc/passwd",
        "/static/page.html.jinja",
        "/comparison/x",
        "/x",
    ):
        assert server.request("GET", path, headers=host)[0] == 404, path
    assert server.request("GET", "/", headers={"Host": "evil.example"})[0] == 403
    assert server.request("GET", "/ask/look", headers=host)[0] == 405
    assert server.request("OPTIONS", "/ask/look", headers={**host, "Origin": "http://evil.example"})[0] == 405


def test_a_comparison_has_an_address_that_cannot_be_guessed_and_no_way_back(server: Server) -> None:
    status, answer = server.ask("compare", {"text": TEXT, "file": "mine.yaml", "other": "linear_attention"})
    assert status == 200
    assert re.fullmatch(r"/comparison/[\w-]{32}", answer["address"])
    status, body, headers = server.request("GET", answer["address"], headers={"Host": f"127.0.0.1:{server.port}"})
    assert status == 200
    assert b"linear_attention" in body
    assert headers["content-security-policy"].startswith("sandbox allow-scripts;")


def test_a_spec_is_compared_with_one_of_the_folder(server: Server) -> None:
    server.ask("save", {"file": "saved.yaml", "text": TEXT.replace("name: ", "name: saved_", 1)})
    given = {"text": TEXT, "file": "mine.yaml", "shipped": False}
    assert server.ask("compare", {**given, "other": "../saved.yaml"})[0] == 422
    status, answer = server.ask("compare", {**given, "other": "saved.yaml"})
    assert status == 200
    _, body, _ = server.request("GET", answer["address"], headers={"Host": f"127.0.0.1:{server.port}"})
    assert b"saved_" in body
    (server.folder / "saved.yaml").unlink()


def test_hundreds_of_hostile_requests_leave_it_alive_at_constant_memory(server: Server) -> None:
    def memory() -> int:
        return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096

    def once() -> None:
        for question, _, given, headers in REFUSALS:
            server.ask(question, given, **headers)
        for raw in (b"\0" * 100, b"GET / HTTP/1.1\r\nHost: " + b"x" * 20_000, b"POST /ask/look HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"):
            with socket.create_connection(("127.0.0.1", server.port)) as wire:
                wire.sendall(raw)

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    for _ in range(3):
        once()
    before = memory()
    for _ in range(12):
        once()
    assert memory() - before < 4 * 2**20
    assert server.ask("look", {"text": TEXT, "file": "mine.yaml"})[0] == 200


def test_a_port_in_use_is_said(server: Server, tmp_path: Path) -> None:
    process = start(tmp_path, server.port)
    said, complaint = process.communicate(timeout=60)
    assert (process.returncode, said) == (2, "")
    assert complaint == f"port {server.port} is in use; choose another one with --port, or --port 0 for any that is free\n"


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = start(tmp_path / "file")
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "is not a folder" in complaint
