"""Serving an application to a real browser, and driving that by a script of `web/e2e`."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from mien.serve.site import LOOPBACK, bind, server_config, url_of

WEB = Path(__file__).resolve().parents[2] / "web"


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """Serve on a free port of this machine; gives the URL without a slash at the end."""
    with closing(bind(LOOPBACK, 0)) as listener:
        server = uvicorn.Server(server_config(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield url_of(LOOPBACK, listener)
        finally:
            server.should_exit = True
            thread.join()


def drive(script: str, *arguments: str | Path) -> None:
    """Run one of `web/e2e`'s scripts; skips where there is no browser to drive."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    node = shutil.which("node")
    if not browser or not node or not (WEB / "node_modules").is_dir():
        pytest.skip("needs node, chromium, and `npm ci` in web/")
    subprocess.run(
        [node, f"e2e/{script}", *map(str, arguments)],
        cwd=WEB,
        env=os.environ | {"CHROMIUM": browser},
        check=True,
        timeout=300,
    )
