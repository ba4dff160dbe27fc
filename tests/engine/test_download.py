"""Published files are fetched from a real server: verified, whole, continued after a failure."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from engine.download import fetch
from engine.errors import EngineError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves CONTENT as /file; ``breaks_off_after`` bytes it hangs up once; remembers the ranges it was asked for."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.breaks_off_after: int | None = None
        self.honours_ranges = True
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                server.ranges.append(asked)
                if self.path != "/file":
                    return self.send_error(404)
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.honours_ranges else 0
                body = server.content[start:]
                if start and not body:
                    return self.send_error(416)
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                stop, server.breaks_off_after = server.breaks_off_after, None
                self.wfile.write(body[:stop])

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.http.serve_forever, daemon=True).start()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "new" / "networks.pth"


def refusal(url: str, path: Path, sha256: str = SHA256) -> EngineError:
    with pytest.raises(EngineError) as caught:
        fetch(url, path, sha256)
    return caught.value


def test_the_file_arrives_whole_and_alone(server, path):
    assert fetch(f"{server.url}/file", path, SHA256) == path
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_there_is_not_fetched_again(server, path):
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    fetch(f"{server.url}/file", path, SHA256)
    assert server.ranges == []


def test_a_damaged_file_is_fetched_anew(server, path):
    path.parent.mkdir()
    path.write_bytes(CONTENT[:-1])
    fetch(f"{server.url}/file", path, SHA256)
    assert path.read_bytes() == CONTENT


def test_another_file_is_refused_and_leaves_nothing(server, path):
    server.content = CONTENT[:-1] + b"!"
    fault = refusal(f"{server.url}/file", path)
    assert fault.code == "checksum" and f"{server.url}/file" in fault.text
    assert list(path.parent.iterdir()) == []


def test_a_broken_download_continues_where_it_stopped(server, path):
    server.breaks_off_after = 1_234_567
    fault = refusal(f"{server.url}/file", path)
    assert fault.code == "download" and str(path) in fault.remedy
    assert not path.exists()
    fetch(f"{server.url}/file", path, SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1234567-"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_server_without_ranges_sends_it_all_again(server, path):
    server.breaks_off_after = 1000
    server.honours_ranges = False
    refusal(f"{server.url}/file", path)
    fetch(f"{server.url}/file", path, SHA256)
    assert path.read_bytes() == CONTENT


def test_a_download_that_only_lacked_its_name_is_taken(server, path):
    path.parent.mkdir()
    path.with_name(path.name + ".part").write_bytes(CONTENT)
    fetch(f"{server.url}/file", path, SHA256)
    assert path.read_bytes() == CONTENT


def test_rubbish_from_an_earlier_version_is_cleared_away(server, path):
    path.parent.mkdir()
    path.with_name(path.name + ".part").write_bytes(b"x" * (len(CONTENT) + 1))
    assert refusal(f"{server.url}/file", path).code == "checksum"
    fetch(f"{server.url}/file", path, SHA256)
    assert path.read_bytes() == CONTENT


def test_a_missing_file_and_a_missing_server_say_how_to_do_without(server, path):
    missing = refusal(f"{server.url}/other", path)
    assert missing.code == "download" and "404" in missing.text
    server.http.shutdown()
    server.http.server_close()
    offline = refusal(f"{server.url}/file", path)
    assert offline.code == "download" and str(path) in offline.remedy and server.url in offline.text
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_named(server, folder):
    (folder / "taken").write_bytes(b"")
    fault = refusal(f"{server.url}/file", folder / "taken" / "networks.pth")
    assert fault.code == "weights_folder" and "taken" in fault.text
