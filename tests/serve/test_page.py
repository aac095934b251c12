"""The built page: its weight, and the face mesh that comes with it under a policy of its own."""

import asyncio
from importlib.resources import files
from pathlib import Path

import pytest

from mien.serve.site import LOOPBACK, Shelf, site

STATIC = Path(str(files("mien.serve") / "static"))


def headers_of(path: str) -> dict[str, str]:
    """What the site answers to GET, asked without a socket."""
    app, sent = site(Shelf(), LOOPBACK), []
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", LOOPBACK.encode())],
    }

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return headers | {"status": str(sent[0]["status"])}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("worker.js", "text/javascript"),
        ("face_mesh.js", "text/javascript"),
        ("face_mesh_solution_simd_wasm_bin.wasm", "application/wasm"),
        ("face_mesh_solution_packed_assets.data", ""),
    ],
)
def test_its_files_are_handed_out(name, kind):
    headers = headers_of(f"/face_mesh/{name}")
    assert headers["status"] == "200"
    assert headers["content-type"].startswith(kind)


def test_only_its_worker_may_make_functions_of_text():
    policy = "content-security-policy"
    assert "'unsafe-eval'" in headers_of("/face_mesh/worker.js")[policy]
    for path in ("/", "/index.js", "/face_mesh"):
        assert "unsafe-eval" not in headers_of(path)[policy]


def test_our_own_javascript_is_light():
    own = [STATIC / "index.js", STATIC / "face_mesh" / "worker.js"]
    assert sum(path.stat().st_size for path in own) < 400_000


def test_the_page_is_all_there_is_beside_the_face_mesh():
    found = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    page = {name for name in found if not name.startswith("face_mesh/")}
    assert page == {"index.html", "index.css", "index.js"}
    assert sum((STATIC / name).stat().st_size for name in found) < 12e6
    assert "Apache License" in (STATIC / "face_mesh" / "NOTICE.txt").read_text()
