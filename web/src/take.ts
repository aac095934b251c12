/** Playing a take: what its frames ask of an avatar at a moment. */

import type { Take } from "./avatar";
import { type Camera, follow } from "./scene";

/** How a take is played; see `mien.pipeline.Direction`. */
export interface Direction {
  /** Whether the head follows the driver's pose. */
  readonly pose: boolean;
  /** Add the driver's change from its median to the photo's own expression. */
  readonly relative: boolean;
}

/** Seconds that a take lasts. */
export function duration(take: Take): number {
  return take.times[take.times.length - 1];
}

/** The latent to drive with at a time, between the two nearest frames. */
export function latentAt(
  take: Take,
  seconds: number,
  source: Float32Array,
  median: Float32Array | null,
): Float32Array {
  const { low, high, part } = around(take, seconds);
  const size = take.latentSize;
  return source.map((own, d) => {
    const value = (1 - part) * take.latents[low * size + d] + part * take.latents[high * size + d];
    return median ? own + value - median[d] : value;
  });
}

/** The camera that sees the head as the driver holds it at a time. */
export function cameraAt(take: Take, seconds: number, focal: number): Camera {
  const { low, high, part } = around(take, seconds);
  const mix = (values: Float32Array, width: number, sign: number) =>
    Array.from(
      { length: width },
      (_, i) => (1 - part) * values[low * width + i] + sign * part * values[high * width + i],
    );
  let dot = 0;
  for (let i = 0; i < 4; i++) dot += take.quats[4 * low + i] * take.quats[4 * high + i];
  return follow(mix(take.quats, 4, dot < 0 ? -1 : 1), mix(take.translations, 3, 1), focal);
}

/** Each number's median over the take (the lower of two), as `Tensor.median` gives it. */
export function medianLatent(take: Take): Float32Array {
  const frames = take.times.length;
  return Float32Array.from({ length: take.latentSize }, (_, d) => {
    const column = Float32Array.from(
      { length: frames },
      (_, t) => take.latents[t * take.latentSize + d],
    );
    return column.sort()[(frames - 1) >> 1];
  });
}

function around(take: Take, seconds: number): { low: number; high: number; part: number } {
  const { times } = take;
  let high = times.findIndex((time) => time >= seconds);
  if (high < 0) high = times.length - 1;
  const low = Math.max(0, high - 1);
  const span = times[high] - times[low];
  const part = span > 0 ? Math.min(1, Math.max(0, (seconds - times[low]) / span)) : 0;
  return { low, high, part };
}
