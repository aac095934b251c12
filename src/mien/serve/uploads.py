"""Photos that people post, encoded to avatars; nothing of a photo is kept, or written anywhere.

Photos are encoded one after another in a worker thread, so that what else is served goes on. Every
refusal is one sentence that the page shows as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import io
import logging
import tempfile
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from mien import pipeline
from mien.artifact import save_avatar
from mien.errors import MienError
from mien.model.network import Network
from mien.preprocess.face import find_face
from mien.preprocess.photo import Photo, crop_portrait, decode
from mien.serve.protocol import MAX_PHOTO, PHOTO_TYPES

log = logging.getLogger(__name__)

MAX_PIXELS = 50_000_000
"""Of a posted photo: a phone's have 12 to 50 million; larger ones are refused undecoded."""

GRID = 160
"""Side of the front layer of the avatars that are made: `presets.DETAIL["balanced"]`."""

AT_ONCE = 4
"""Photos in hand: one is encoded, the others arrive or wait."""

A_MINUTE = 20
"""Photos that are taken in within a minute."""

UPLOAD_SECONDS = 60.0
"""How long a photo may take to arrive."""

MAX_DISCARDED = 4 * MAX_PHOTO
"""Bytes of a refused photo that are still read, so that the refusal is."""


class RefusalError(Exception):
    """A photo is not taken.

    Args:
        status: of HTTP.
        sentence: what the person is told.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Uploads:
    """Takes photos in and hands avatars back.

    Args:
        encode: what a photo's bytes become; raises MienError where they cannot be used.
        token: what `Authorization: Bearer` must say; None takes photos from anybody.
    """

    def __init__(self, encode: Callable[[bytes], bytes], token: str | None = None) -> None:
        self._encode = encode
        self._token = token
        self._turn = asyncio.Lock()
        self._in_hand = 0
        self._taken: deque[float] = deque(maxlen=A_MINUTE)

    async def post(self, request: Request) -> Response:
        """Answer a posted photo with its avatar."""
        body = request.stream()
        try:
            self._admit(request)
            self._in_hand += 1
            try:
                avatar = await self._avatar(body)
            finally:
                self._in_hand -= 1
        except RefusalError as refusal:
            log.warning("A photo was refused: %s", refusal)
            await _discard(body)
            later = {"retry-after": "60"} if refusal.status == 429 else None
            # What may still come of the body must not be taken for a request.
            return PlainTextResponse(
                str(refusal), refusal.status, {"connection": "close", **(later or {})}
            )
        except ClientDisconnect:
            return Response(status_code=400)
        headers = {"cache-control": "no-store"}
        return Response(avatar, media_type="application/octet-stream", headers=headers)

    def _admit(self, request: Request) -> None:
        """Refuse what can be told from the head of a request alone."""
        if self._token is not None:
            said = request.headers.get("authorization", "").encode(errors="replace")
            if not hmac.compare_digest(said, f"Bearer {self._token}".encode()):
                raise RefusalError(403, "Only the driver of a room can have photos encoded.")
        # No other site's page can make a browser send one of these types without asking first.
        if request.headers.get("content-type") not in PHOTO_TYPES:
            raise RefusalError(415, "This is no photo that can be used; take a JPEG, PNG or WebP.")
        if int(request.headers.get("content-length", 0)) > MAX_PHOTO:
            raise _too_large()
        now = time.monotonic()
        if self._in_hand >= AT_ONCE or (
            len(self._taken) == A_MINUTE and now - self._taken[0] < 60.0
        ):
            raise RefusalError(429, "Many photos are being encoded; try again in a minute.")
        self._taken.append(now)

    async def _avatar(self, body: AsyncIterator[bytes]) -> bytes:
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                photo = await _photo(body)
        except TimeoutError:
            raise RefusalError(408, "The photo took too long to arrive; try again.") from None
        async with self._turn:
            try:
                return await asyncio.to_thread(self._encode, photo)
            except MienError as error:
                raise RefusalError(422, str(error)) from error


async def _photo(body: AsyncIterator[bytes]) -> bytes:
    content = bytearray()
    async for chunk in body:
        content += chunk
        if len(content) > MAX_PHOTO:
            raise _too_large()
    return bytes(content)


async def _discard(body: AsyncIterator[bytes]) -> None:
    """Read what is left of a body: hanging up on unread bytes can take the answer back."""
    read = 0
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for chunk in body:
                read += len(chunk)
                if read > MAX_DISCARDED:
                    return


def _too_large() -> RefusalError:
    most = MAX_PHOTO >> 20
    return RefusalError(413, f"The photo has more than {most} MiB; save it smaller.")


def encode_photo(content: bytes, network: Network) -> bytes:
    """A posted photo as a `.mien` file.

    Args:
        content: the photo's file.
        network: whose avatar to make.

    Raises:
        MienError: it is no photo, too large, or shows no face that can be used.
    """
    image, cutout = _decoded(content)
    face = find_face(image, None, "the photo")
    portrait = crop_portrait(image, face, fov=network.config.fov, cutout=cutout)
    avatar = pipeline.encode(network, portrait, GRID)
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        path = Path(folder, "avatar.mien")
        save_avatar(path, avatar)
        return path.read_bytes()


def _decoded(content: bytes) -> Photo:
    from PIL import Image, ImageOps

    formats = [kind.removeprefix("image/") for kind in PHOTO_TYPES]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size limit, damaged metadata
            with Image.open(io.BytesIO(content), formats=formats) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    most = MAX_PIXELS // 1_000_000
                    raise MienError(f"The photo has more than {most} million pixels; scale it.")
                picture.load()
                return decode(ImageOps.exif_transpose(picture))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise MienError("The photo is damaged, or no JPEG, PNG or WebP; use another.") from error
