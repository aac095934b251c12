"""A driving video played on avatars, end to end on a processor: landmarks, expressions, drawing and
encoding, each pass on as many threads as there are cores.

    PYTHONPATH=src python benchmarks/play_cpu.py VIDEO ME.mien [ME.baked.mien ...]
"""

import sys
import tempfile
import time
from pathlib import Path

from mien import artifact, pipeline, presets
from mien.engine.play_cpu import actor, ahead, play
from mien.evaluate.bench_timing import drawn
from mien.pipeline import Direction
from mien.preprocess.video import Video, write_video
from mien.render import splat
from mien.structures import Camera

SIZE, ROUNDS = 512, 3


def once(network, avatar, video: Path) -> tuple[float, float, int]:
    """Seconds, seconds of processor time, and frames of one video from file to file."""
    start, used = time.perf_counter(), time.process_time()
    frames = Video(video)
    take = pipeline.motion(network, ahead(frames), frames.fps)
    shown = play(actor(network, avatar), take, Direction(), SIZE)
    with tempfile.TemporaryDirectory() as folder:
        write_video(Path(folder) / "out.mp4", (frame.numpy() for frame in shown), fps=take.fps)
    return time.perf_counter() - start, time.process_time() - used, len(take)


def seen(network, avatar) -> str:
    """How much there is to draw of an avatar that looks ahead."""
    gaussians = actor(network, avatar)(avatar.source_latent)
    camera = Camera(Camera.orbit().world_from_cam, avatar.intrinsics)
    what = drawn(gaussians, camera, splat(gaussians, camera, (SIZE, SIZE)))
    return f"{what.gaussians:,} Gaussians drawn, {what.covered:.0%} of the picture covered"


def main() -> None:
    network = presets.load_network()
    video, *avatars = map(Path, sys.argv[1:])
    for path in avatars:
        avatar = artifact.read_any_avatar(path)
        print(f"{path.name:24} {seen(network, avatar)}")
        for _ in range(ROUNDS):
            wall, used, frames = once(network, avatar, video)
            print(
                f"{path.name:24} {frames / wall:6.1f} frames/s, {1e3 * used / frames:6.1f} ms of "
                "processor time a frame",
                flush=True,
            )


if __name__ == "__main__":
    main()
