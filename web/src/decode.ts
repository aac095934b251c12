/**
 * The plain decoder: expression to latent, latent to Gaussians, as `mien.model` computes them.
 * The GPU's (`gpu_decode.ts`) must give the same; where the GPU cannot, a worker runs this one.
 */

import type { Avatar, Head } from "./avatar";
import type { Controls, LandmarkMotion, Linear, Networks } from "./networks";
import { CHANNELS, EYES, LANDMARKS, OFFSET_STEP } from "./protocol.generated";

/** What the renderer draws; see `mien.structures.Gaussians`. */
export interface Gaussians {
  /** (N, 4) canonical position, then opacity. */
  readonly means: Float32Array;
  /** (N, 4) wxyz. */
  readonly quats: Float32Array;
  /** (N, 4) standard deviations; the fourth is unused. */
  readonly scales: Float32Array;
  /** (N, 4) RGB; the fourth is unused. */
  readonly colors: Float32Array;
}

/** (478, 3) landmarks of a face whose controls have these values, in [0, 1]. */
export function expressionLandmarks(controls: Controls, values: Float32Array): Float32Array {
  const landmarks = controls.neutral.slice();
  const size = landmarks.length;
  values.forEach((value, k) => {
    if (value === 0) return;
    for (let i = 0; i < size; i++) landmarks[i] += value * controls.shapes[k * size + i];
  });
  return landmarks;
}

/** The motion latent of canonical landmarks (478, 3); `LandmarkMotion.forward`. */
export function motionLatent(motion: LandmarkMotion, landmarks: Float32Array): Float32Array {
  const signals = new Float32Array(motion.mean.length);
  signals.set(landmarks);
  signals.set(eyeSignals(landmarks), LANDMARKS * 3);
  for (let i = 0; i < signals.length; i++) {
    signals[i] = (signals[i] - motion.mean[i]) / motion.deviation[i];
  }
  const [first, second, last] = motion.layers;
  return apply(last, apply(second, apply(first, signals).map(silu)).map(silu));
}

function eyeSignals(landmarks: Float32Array): number[] {
  const at = (index: number, axis: number) => landmarks[index * 3 + axis];
  return EYES.flatMap(([outer, inner, upper, lower, iris]) => {
    const side = [0, 1, 2].map((axis) => at(outer, axis) - at(inner, axis));
    const width = Math.max(Math.hypot(...side), 1e-4);
    const gaze = [0, 1].map((a) => (at(iris, a) - (at(outer, a) + at(inner, a)) / 2) / width);
    return [...gaze, (at(upper, 1) - at(lower, 1)) / width];
  });
}

/** Drives an avatar by controls: at zero it shows the photo's own expression. */
export class Puppet {
  readonly #networks: Networks;
  readonly #neutral: Float32Array;

  constructor(networks: Networks) {
    this.#networks = networks;
    this.#neutral = motionLatent(networks.motion, networks.controls.neutral);
  }

  /** The latent of control values, as a change of the avatar's own. */
  latent(avatar: Head, values: Float32Array): Float32Array {
    const landmarks = expressionLandmarks(this.#networks.controls, values);
    const driving = motionLatent(this.#networks.motion, landmarks);
    return avatar.sourceLatent.map((own, d) => own + driving[d] - this.#neutral[d]);
  }
}

/** The scale and shift (each (48,)) that a pair of latents asks of the normalised basis. */
export function modulation(
  networks: Networks,
  source: Float32Array,
  driving: Float32Array,
): Float32Array {
  const pair = new Float32Array(2 * networks.latentSize);
  pair.set(source);
  pair.set(driving, networks.latentSize);
  return apply(networks.fusion.mapping, pair);
}

/** Tell an avatar what to express; `Network.animate`. */
export function decode(networks: Networks, avatar: Avatar, latent: Float32Array): Gaussians {
  const { fusion, decoder } = networks;
  const asked = modulation(networks, avatar.sourceLatent, latent);
  const result: Gaussians = {
    means: new Float32Array(4 * avatar.count),
    quats: new Float32Array(4 * avatar.count),
    scales: new Float32Array(4 * avatar.count),
    colors: new Float32Array(4 * avatar.count),
  };
  const modulated = new Float32Array(CHANNELS);
  const features = new Float32Array(CHANNELS);
  for (let i = 0; i < avatar.count; i++) {
    normalise(avatar.basis.subarray(i * CHANNELS, (i + 1) * CHANNELS), modulated);
    for (let c = 0; c < CHANNELS; c++) {
      modulated[c] = modulated[c] * asked[c] + asked[CHANNELS + c];
    }
    const hidden = apply(fusion.hidden, apply(fusion.proj, modulated)).map(softplus);
    const delta = apply(fusion.out, hidden);
    for (let c = 0; c < CHANNELS; c++) {
      features[c] = avatar.features[i * CHANNELS + c] + fusion.gain * delta[c];
    }
    attributes(
      apply(decoder.out, apply(decoder.hidden, features).map(softplus)),
      avatar,
      i,
      result,
    );
  }
  return result;
}

/** Layer normalisation without affine part, as PyTorch does it. */
export function normalise(values: Float32Array, into: Float32Array): void {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let square = 0;
  for (const value of values) square += (value - mean) ** 2;
  const scale = 1 / Math.sqrt(square / values.length + 1e-5);
  for (let c = 0; c < values.length; c++) into[c] = (values[c] - mean) * scale;
}

/** What the decoder's raw numbers mean for Gaussian `i`; `mien.model.decoder.attributes`. */
function attributes(raw: Float32Array, avatar: Avatar, i: number, result: Gaussians): void {
  const anchors = avatar.anchors;
  const density = softplus(raw[0] - 1 + (anchors ? anchors.density[i] : 0));
  result.means[4 * i + 3] = 1 - Math.exp(-density);
  for (let axis = 0; axis < 3; axis++) {
    const at = 4 * i + axis;
    const [color, position, scale] = [raw[1 + axis], raw[11 + axis], raw[14 + axis]];
    if (anchors) {
      const axes = anchors.axes;
      let moved = 0;
      for (let j = 0; j < 3; j++) moved += axes[3 * axis + j] * raw[11 + j];
      result.means[at] = anchors.means[3 * i + axis] + OFFSET_STEP * moved;
      result.scales[at] = anchors.scales[i] * Math.exp(clamp(scale, -3, 2));
      result.colors[at] = clamp(anchors.colors[3 * i + axis] + Math.tanh(color), 0, 1);
    } else {
      result.means[at] = Math.tanh(position);
      result.scales[at] = 0.05 * sigmoid(scale);
      result.colors[at] = 1.002 * sigmoid(color) - 0.001;
    }
  }
  const quat = [raw[17] + (anchors ? 1 : 0), raw[18], raw[19], raw[20]];
  const length = Math.max(Math.hypot(...quat), 1e-12);
  for (let j = 0; j < 4; j++) result.quats[4 * i + j] = quat[j] / length;
}

/** weight · input + bias. */
export function apply(layer: Linear, input: Float32Array): Float32Array {
  const { inputs, outputs, weight } = layer;
  if (input.length !== inputs) throw new RangeError(`${input.length} inputs, not ${inputs}`);
  const output = new Float32Array(outputs);
  for (let row = 0, at = 0; row < outputs; row++) {
    let sum = layer.bias[row];
    for (let column = 0; column < inputs; column++) sum += weight[at++] * input[column];
    output[row] = sum;
  }
  return output;
}

/** x · sigmoid(x). */
export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function clamp(x: number, low: number, high: number): number {
  return Math.min(Math.max(x, low), high);
}
