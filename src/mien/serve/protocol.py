"""What Python and the page must agree on, said once; `typescript.py` turns it into TypeScript.

The dataclasses become interfaces, the entries of `CONSTANTS` constants of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass

from mien import structures
from mien.artifact import avatar, baked, motion, safe, weights
from mien.model import decoder
from mien.model import motion as motion_encoder
from mien.render import reference
from mien.serve import controls

MANIFEST_PATH = "/manifest.json"
"""Where the page learns what it is to show."""


@dataclass(frozen=True)
class Asset:
    """A file the page may fetch; its URL holds its hash, so it never changes.

    Args:
        url: path on the server.
        name: what a person calls it.
        bytes: its size.
    """

    url: str
    name: str
    bytes: int


@dataclass(frozen=True)
class Networks:
    """The small networks the page runs itself.

    Args:
        file: weights of fusion, decoder and landmark motion encoder, and the controls.
        preset: avatars and takes must be of the same one.
        gain: factor on Δf.
        avatar_weights: fingerprint that avatars must have, see `model.matching`.
        motion_weights: the same for baked avatars.
    """

    file: Asset
    preset: str
    gain: float
    avatar_weights: str
    motion_weights: str


@dataclass(frozen=True)
class Manifest:
    """What a page is to show.

    Args:
        avatar: a `.mien` file.
        networks: of the avatar's preset.
        takes: `.motion` files that may be played.
    """

    avatar: Asset
    networks: Networks
    takes: list[Asset]


@dataclass(frozen=True)
class Join:
    """The first message on a room's socket, from the page.

    Args:
        token: from the link; it says whether the page drives or watches.
    """

    token: str


@dataclass(frozen=True)
class Welcome:
    """The answer to `Join`.

    Args:
        role: "driver" or "viewer".
        manifest: what to show.
        link: what viewers open, as a path with a fragment; empty for viewers.
    """

    role: str
    manifest: Manifest
    link: str


@dataclass(frozen=True)
class Range:
    """How the latents of packets are quantised (see `packets.py`), from the driver to all.

    Args:
        id: what packets refer to it by, 0 to 255.
        centre: (D,) the middle of each latent.
        span: (D,) how far from it the codes reach, > 0.
    """

    id: int
    centre: list[float]
    span: list[float]


INTERFACES = (Asset, Networks, Manifest, Join, Welcome, Range)

ROOM_PATH = "/room"
"""Where a room's WebSocket is."""

PACKETS_PER_SECOND = 25
"""How often a driver says what it does, at most."""

PACKET_VERSION = 1

PACKET_HEADER = 20
"""Bytes of a packet before the latents."""

ENCODE_PATH = "/encode"
"""Where a photo is posted to, as it is; the answer is a `.mien` file, or a sentence."""

PHOTO_TYPES = ("image/jpeg", "image/png", "image/webp")
"""What photos may be posted as."""

MAX_PHOTO = 20 * 2**20
"""Bytes of the largest photo that is taken."""

REACH = 16.0
"""Canonical units that a packet's translation can say, to either side."""

CONSTANTS: dict[str, object] = {
    "MANIFEST_PATH": MANIFEST_PATH,
    "RADIUS": structures.RADIUS,
    "FOCAL_WIDE": structures.focal_from_fov(structures.FOV_WIDE),
    "LANDMARKS": structures.LANDMARKS,
    "EYES": motion_encoder.EYES,
    "CHANNELS": avatar.CHANNELS,
    "RAW": decoder.RAW,
    "OFFSET_STEP": decoder.OFFSET_STEP,
    "NEAR": reference.NEAR,
    "BLUR": reference.BLUR,
    "GUARD": reference.GUARD,
    "ALPHA_MAX": reference.ALPHA_MAX,
    "ALPHA_MIN": reference.ALPHA_MIN,
    "MAX_BYTES": safe.MAX_BYTES,
    "MAX_LENGTH": safe.MAX_LENGTH,
    "LARGEST_LOG_SCALE": avatar.LARGEST_LOG_SCALE,
    "AVATAR_FORMAT": (avatar.FORMAT.name, avatar.FORMAT.schema),
    "BAKED_FORMAT": (baked.FORMAT.name, baked.FORMAT.schema),
    "BAKED_ATTRIBUTES": baked.ATTRIBUTES,
    "BAKED_MAX_BASES": baked.MAX_BASES,
    "BAKED_MAX_HIDDEN": baked.MAX_HIDDEN,
    "BAKED_MAX_CODES": baked.MAX_CODES,
    "MOTION_FORMAT": (motion.FORMAT.name, motion.FORMAT.schema),
    "WEIGHTS_FORMAT": (weights.FORMAT.name, weights.FORMAT.schema),
    "CONTROL_GROUPS": controls.GROUPS,
    "ROOM_PATH": ROOM_PATH,
    "PACKETS_PER_SECOND": PACKETS_PER_SECOND,
    "PACKET_VERSION": PACKET_VERSION,
    "PACKET_HEADER": PACKET_HEADER,
    "REACH": REACH,
    "ENCODE_PATH": ENCODE_PATH,
    "PHOTO_TYPES": PHOTO_TYPES,
    "MAX_PHOTO": MAX_PHOTO,
}
