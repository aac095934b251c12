/**
 * Networks as the shaders compute them: `fusion.proj` is folded into the layer after it and the gain
 * into the layer before the sum; the basis is normalised once, when the avatar is loaded.
 */

import type { Anchors, Avatar } from "./avatar";
import { normalise } from "./decode";
import type { Linear, Networks } from "./networks";
import { CHANNELS } from "./protocol.generated";

/** The layers that a shader computes, two and two with a softplus between. */
export interface Folded {
  readonly fusionHidden: Linear;
  readonly fusionOut: Linear;
  readonly decoderHidden: Linear;
  readonly decoderOut: Linear;
}

export function fold({ fusion, decoder }: Networks): Folded {
  const { hidden, proj, out, gain } = fusion;
  const weight = new Float32Array(hidden.outputs * proj.inputs);
  const bias = hidden.bias.slice();
  for (let row = 0; row < hidden.outputs; row++) {
    for (let k = 0; k < hidden.inputs; k++) {
      const factor = hidden.weight[row * hidden.inputs + k];
      bias[row] += factor * proj.bias[k];
      for (let column = 0; column < proj.inputs; column++) {
        weight[row * proj.inputs + column] += factor * proj.weight[k * proj.inputs + column];
      }
    }
  }
  const gained = (values: Float32Array) => values.map((value) => gain * value);
  return {
    fusionHidden: { ...hidden, inputs: proj.inputs, weight, bias },
    fusionOut: { ...out, weight: gained(out.weight), bias: gained(out.bias) },
    decoderHidden: decoder.hidden,
    decoderOut: decoder.out,
  };
}

/** With zeros up to the next multiple of four. */
export function padded(values: Float32Array): Float32Array {
  const result = new Float32Array(Math.ceil(values.length / 4) * 4);
  result.set(values);
  return result;
}

/** (N, 48). */
export function normalisedBasis(avatar: Avatar): Float32Array {
  const result = new Float32Array(avatar.basis.length);
  for (let at = 0; at < result.length; at += CHANNELS) {
    const range = [at, at + CHANNELS] as const;
    normalise(avatar.basis.subarray(...range), result.subarray(...range));
  }
  return result;
}

/** (N, 8) position, scale, colour and density of each Gaussian's anchor. */
export function anchorRecords({ means, scales, colors, density }: Anchors): Float32Array {
  const values = new Float32Array(8 * scales.length);
  for (let i = 0; i < scales.length; i++) {
    values.set(means.subarray(3 * i, 3 * i + 3), 8 * i);
    values[8 * i + 3] = scales[i];
    values.set(colors.subarray(3 * i, 3 * i + 3), 8 * i + 4);
    values[8 * i + 7] = density[i];
  }
  return values;
}

/**
 * Weights in the order in which a shader reads them, in blocks of 4 × 4, column by column: for each
 * four hidden units, the blocks that lead to them, then the blocks that lead on.
 */
export function weightBlocks(folded: Folded): number[] {
  const values: number[] = [];
  for (const [first, second] of [
    [folded.fusionHidden, folded.fusionOut],
    [folded.decoderHidden, folded.decoderOut],
  ]) {
    for (let unit = 0; unit < first.outputs; unit += 4) {
      for (let input = 0; input < first.inputs; input += 4) block(values, first, unit, input);
      for (let output = 0; output < second.outputs; output += 4) {
        block(values, second, output, unit);
      }
    }
  }
  return values;
}

/** Append a block of weights; what lies outside the matrix is zero. */
function block(values: number[], layer: Linear, row: number, column: number): void {
  for (let i = column; i < column + 4; i++) {
    for (let o = row; o < row + 4; o++) {
      const inside = i < layer.inputs && o < layer.outputs;
      values.push(inside ? layer.weight[o * layer.inputs + i] : 0);
    }
  }
}
