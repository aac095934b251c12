from pathlib import Path

import pytest

from mien.serve.typescript import _type, typescript

GENERATED = Path(__file__).resolve().parents[2] / "web" / "src" / "protocol.generated.ts"


def test_the_page_has_the_protocol_of_today():
    remedy = f"run `python -m mien.serve.typescript {GENERATED}`"
    assert GENERATED.read_text(encoding="utf-8") == typescript(), remedy


def test_what_typescript_cannot_say_is_refused():
    with pytest.raises(TypeError, match="no TypeScript counterpart"):
        _type(dict[str, int])
