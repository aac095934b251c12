import io
import logging
import threading
import time

import numpy as np
import pytest
import skimage.data
from PIL import Image
from servers import Client, running
from starlette.routing import Route

from mien import presets
from mien.artifact import load_avatar
from mien.errors import MienError
from mien.serve import uploads
from mien.serve.live import Live
from mien.serve.live import application as live_application
from mien.serve.protocol import ENCODE_PATH, MAX_PHOTO
from mien.serve.site import LOOPBACK, Shelf, site
from mien.serve.uploads import Uploads
from mien.serve.view import View
from mien.serve.view import application as view_application


def file_of(pixels: np.ndarray, kind: str = "jpeg") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def photo() -> bytes:
    return file_of(skimage.data.astronaut())


@pytest.fixture
def serving():
    """Serve an `Uploads`: a context manager that gives the client."""
    from contextlib import contextmanager

    @contextmanager
    def serve(taken: Uploads):
        with running(
            site(Shelf(), LOOPBACK, Route(ENCODE_PATH, taken.post, methods=["POST"]))
        ) as port:
            yield Client(port)

    return serve


def test_a_photo_comes_back_as_an_avatar(served, photo, tmp_path):
    network, folder = served
    with running(view_application(View(folder / "me.mien"), network, tmp_path)) as port:
        answer = Client(port).post(ENCODE_PATH, photo, content_type="image/jpeg")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    made = tmp_path / "made.mien"
    made.write_bytes(answer.content)
    assert load_avatar(made).preset == network.config.preset


def test_nothing_of_a_photo_stays_on_disk(served, photo, tmp_path, monkeypatch):
    network, _ = served
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    uploads.encode_photo(photo, network)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged, or no JPEG"),
        (b"no photo", "damaged, or no JPEG"),
        (file_of(np.zeros((64, 64, 3), np.uint8), "bmp"), "damaged, or no JPEG"),
        (file_of(skimage.data.astronaut())[:20_000], "damaged, or no JPEG"),
        (file_of(np.zeros((64, 64, 3), np.uint8)), "No face"),
        (file_of(np.zeros((10_000, 5001), np.uint8), "png"), "more than 50 million pixels"),
    ],
    ids=["empty", "text", "bmp", "cut", "no face", "large"],
)
def test_what_cannot_be_used_is_said(served, content, said):
    with pytest.raises(MienError, match=said):
        uploads.encode_photo(content, served[0])


def test_what_cannot_be_encoded_is_one_sentence(serving, caplog):
    def refuse(photo: bytes) -> bytes:
        raise MienError("No face was found in the photo.")

    with serving(Uploads(refuse)) as client, caplog.at_level(logging.WARNING, "mien.serve"):
        answer = client.post(ENCODE_PATH, b"x", content_type="image/png")
    assert (answer.status, answer.text) == (422, "No face was found in the photo.")
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data", "image/svg+xml"])
def test_other_types_are_refused(serving, kind):
    with serving(Uploads(bytes)) as client:
        answer = client.post(ENCODE_PATH, b"x", content_type=kind)
    assert (answer.status, answer.text.count(".")) == (415, 1)


def test_a_photo_too_large_is_refused(serving):
    with serving(Uploads(bytes)) as client:
        assert client.post(ENCODE_PATH, bytes(MAX_PHOTO), content_type="image/png").status == 200
        answer = client.post(ENCODE_PATH, bytes(MAX_PHOTO + 1), content_type="image/png")
    assert (answer.status, answer.text) == (413, "The photo has more than 20 MiB; save it smaller.")


def test_a_refused_photo_is_read_to_its_end_so_that_the_refusal_arrives(serving):
    large = bytes(2 * MAX_PHOTO)  # more than the buffers of a connection hold
    with serving(Uploads(bytes)) as client:
        answers = [client.post(ENCODE_PATH, large, content_type=kind) for kind in ("", "image/png")]
    assert [answer.status for answer in answers] == [415, 413]


def test_a_refused_photo_without_end_is_hung_up_on(serving, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_DISCARDED", 1000)
    with serving(Uploads(bytes)) as client:
        began = time.monotonic()
        answer = client.post(
            ENCODE_PATH, bytes(1001), content_type="text/plain", content_length="100000"
        )
    assert answer.status == 415
    assert time.monotonic() - began < uploads.UPLOAD_SECONDS / 2


def test_many_photos_are_refused(serving, monkeypatch):
    monkeypatch.setattr(uploads, "A_MINUTE", 3)
    with serving(Uploads(bytes)) as client:
        answers = [client.post(ENCODE_PATH, b"x", content_type="image/png") for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "60"


def test_a_photo_that_does_not_arrive_is_given_up(serving, monkeypatch):
    monkeypatch.setattr(uploads, "UPLOAD_SECONDS", 0.2)
    with serving(Uploads(bytes)) as client:
        answer = client.post(ENCODE_PATH, b"x", content_type="image/png", content_length="9")
        assert answer.status == 408
        assert client.post(ENCODE_PATH, b"x", content_type="image/png").status == 200


def test_while_a_photo_is_encoded_the_rest_goes_on(serving):
    started, go_on = threading.Event(), threading.Event()

    def encode(photo: bytes) -> bytes:
        started.set()
        assert go_on.wait(20)
        return b"avatar"

    def post() -> None:
        answers.append(client.post(ENCODE_PATH, b"x", content_type="image/png"))

    answers = []
    with serving(Uploads(encode)) as client:
        posts = [threading.Thread(target=post) for _ in range(uploads.AT_ONCE + 1)]
        for thread in posts:
            thread.start()
        assert started.wait(20)
        assert client.get("/").status == 200
        deadline = time.monotonic() + 20
        while not answers and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [answer.status for answer in answers] == [429]
        go_on.set()
        for thread in posts:
            thread.join()
    assert sorted(answer.status for answer in answers) == [200] * uploads.AT_ONCE + [429]


@pytest.mark.parametrize("said", [None, "", "Bearer", "Bearer wrong", "Basic {driver}", "{viewer}"])
def test_in_a_room_only_the_driver_may(served, tmp_path, said):
    network, folder = served
    app, room = live_application(Live(folder / "me.mien"), network, tmp_path)
    with running(app) as port:
        headers = {"content_type": "image/jpeg"}
        if said is not None:
            headers["authorization"] = said.format(
                driver=room.driver_token, viewer=f"Bearer {room.viewer_token}"
            )
        assert Client(port).post(ENCODE_PATH, b"x", **headers).status == 403
        headers["authorization"] = f"Bearer {room.driver_token}"
        assert Client(port).post(ENCODE_PATH, b"x", **headers).status == 422


def test_photos_become_as_detailed_as_on_the_command_line():
    assert presets.DETAIL["balanced"] == uploads.GRID
