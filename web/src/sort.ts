/** Back-to-front order of Gaussians by counting sort, linear in their number. */

import { ALPHA_MIN, NEAR } from "./protocol.generated";

const BINS = 1 << 16;

/**
 * Indices of the Gaussians that can be seen, far to near.
 *
 * @param means (N, 4) position and opacity.
 * @param depth (4,) plane: depth = depth[0..2] · position + depth[3].
 */
export function backToFront(means: Float32Array, depth: ArrayLike<number>): Uint32Array {
  const count = means.length / 4;
  const depths = new Float32Array(count);
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let visible = 0;
  for (let i = 0; i < count; i++) {
    const at = 4 * i;
    const z = depth[0] * means[at] + depth[1] * means[at + 1] + depth[2] * means[at + 2] + depth[3];
    // Also false for what is not a number.
    const seen = z >= NEAR && means[at + 3] >= ALPHA_MIN;
    depths[i] = seen ? z : 0;
    if (!seen) continue;
    visible++;
    if (z < low) low = z;
    if (z > high) high = z;
  }
  return countingSort(depths, visible, low, high);
}

function countingSort(
  depths: Float32Array,
  visible: number,
  low: number,
  high: number,
): Uint32Array {
  const factor = (BINS - 1) / Math.max(high - low, 1e-12);
  const starts = new Uint32Array(BINS + 1);
  const bin = (z: number) => Math.min(BINS - 1, Math.max(0, ((high - z) * factor) | 0));
  for (const z of depths) if (z > 0) starts[bin(z) + 1]++;
  for (let b = 0; b < BINS; b++) starts[b + 1] += starts[b];
  const order = new Uint32Array(visible);
  depths.forEach((z, i) => {
    if (z > 0) order[starts[bin(z)]++] = i;
  });
  return order;
}
