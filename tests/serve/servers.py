"""Applications on servers of their own, for tests that talk to them."""

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from mien.serve.site import LOOPBACK, bind, server_config


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()


@dataclass(frozen=True)
class Client:
    """Asks for paths exactly as they are written: libraries would tidy up `..`."""

    port: int

    def get(self, path: str, method: str = "GET", host: str = LOOPBACK) -> Answer:
        return self.ask(method, path, {"host": host})

    def post(self, path: str, content: bytes, **headers: str) -> Answer:
        """Post; underscores in headers' names are hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"host": LOOPBACK, "content-length": str(len(content)), **named}
        return self.ask("POST", path, named, content)

    def ask(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes = b""
    ) -> Answer:
        with contextlib.closing(
            http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        ) as connection:
            connection.putrequest(method, path, skip_host=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            connection.send(content)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())


@contextlib.contextmanager
def running(app: Starlette) -> Iterator[int]:
    """Serve on a free port of this machine; gives the port."""
    with contextlib.closing(bind(LOOPBACK, 0)) as listener:
        server = uvicorn.Server(server_config(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
