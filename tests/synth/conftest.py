"""A studio with the built-in rig, for every test that draws."""

from collections.abc import Iterator

import pytest

from mien.errors import MienError
from mien.synth.rig import Rig, tiny_rig
from mien.synth.studio import Studio


@pytest.fixture(scope="session")
def rig() -> Rig:
    return tiny_rig()


@pytest.fixture(scope="session")
def studio(rig: Rig) -> Iterator[Studio]:
    try:
        made = Studio(rig, 64, 1)
    except MienError as error:
        pytest.skip(f"needs OpenGL through EGL: {error}")
    made.enter(made.maker.make(3))
    yield made
    made.renderer.close()
