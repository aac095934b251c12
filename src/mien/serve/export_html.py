"""One page that opens from disk: the viewer, an avatar and its networks in a single file."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from mien.files import write_bytes
from mien.model.network import Network
from mien.serve.protocol import Asset
from mien.serve.site import publish

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src data:; worker-src blob:; img-src data: blob:; media-src blob:"
)
"""The page can reach nothing but itself."""


class Carrier:
    """Gives files as data URLs, so that a page can carry them."""

    def add(self, kind: str, path: Path) -> Asset:
        """A file as an asset; `kind` does not matter here."""
        del kind
        content = path.read_bytes()
        text = base64.b64encode(content).decode()
        return Asset(f"data:application/octet-stream;base64,{text}", path.stem, len(content))


def export_html(
    path: str | os.PathLike[str], avatar: Path, network: Network, takes: Sequence[Path] = ()
) -> None:
    """Write a page that shows an avatar without a server; a third larger than what it carries.

    Args:
        path: by custom ends in `.html`.
        avatar: a `.mien` file.
        network: of its preset.
        takes: `.motion` files that can be played in the page.

    Raises:
        MienError: a file cannot be used, is of another preset, or the page cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        manifest = publish(Carrier(), avatar, takes, network, Path(folder))
    carried = json.dumps(dataclasses.asdict(manifest)).replace("<", "\\u003c")
    static = files("mien.serve") / "static"
    page, script, style = (
        (static / name).read_text(encoding="utf-8")
        for name in ("index.html", "index.js", "index.css")
    )
    # Within a script element nothing but its own end tag matters to the parser.
    script = script.replace("</script", "<\\/script")
    parts = {
        r"<meta charset[^>]*>": (
            '<meta charset="utf-8">\n'
            f'    <meta http-equiv="content-security-policy" content="{POLICY}">'
        ),
        r"<link rel=\"stylesheet\"[^>]*>": f"<style>\n{style}\n</style>",
        r"<script[^>]*></script>": "",
        r"</body>": (
            f'<script type="application/json" id="manifest">{carried}</script>\n'
            f'<script type="module">\n{script}\n</script>\n</body>'
        ),
    }
    for pattern, replacement in parts.items():
        page, count = re.subn(pattern, lambda _, r=replacement: r, page)
        assert count == 1, f"{pattern} occurs {count} times in the built page"
    write_bytes(path, page.encode())
