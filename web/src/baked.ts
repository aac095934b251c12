/**
 * Baked avatars: what a face's Gaussians become is a sum of a few bases, weighted by a small network
 * of the latent; neither fusion nor decoder is needed. Read, and played plainly; the GPU's way
 * (`gpu_baked.ts`) must give the same. Layout and mathematics are those of `mien.artifact.baked`.
 *
 * The attributes of a Gaussian: 0–2 position, 3–5 logarithm of the scales, 6–8 rotation vector,
 * 9 logit of the opacity, 10–12 colour.
 */

import { type Avatar, type Head, readAvatar, readCodes, readHead } from "./avatar";
import { apply, type Gaussians, silu } from "./decode";
import type { Linear } from "./networks";
import {
  BAKED_ATTRIBUTES as ATTRIBUTES,
  BAKED_FORMAT,
  BAKED_MAX_BASES,
  BAKED_MAX_CODES,
  BAKED_MAX_HIDDEN,
  LARGEST_LOG_SCALE,
} from "./protocol.generated";
import { checkFormat, FormatError, floats, parseSafetensors, type SafeFile } from "./safetensors";

/** K bases of the attributes of N Gaussians. */
export interface BakedAvatar extends Head {
  readonly bases: number;
  /** (13, N). */
  readonly rest: Float32Array;
  /** (K, 13, N), in units of `steps`. */
  readonly codes: Int16Array;
  /** (13,). */
  readonly steps: Float32Array;
  /** With SiLU between, from latent to weights; what `linear` gives is added. */
  readonly hidden: Linear;
  readonly out: Linear;
  readonly linear: Linear;
}

export function isBaked(avatar: Avatar | BakedAvatar): avatar is BakedAvatar {
  return "bases" in avatar;
}

/** Read a `.mien` file, baked or not. Throws `FormatError`. */
export async function readAnyAvatar(buffer: ArrayBuffer): Promise<Avatar | BakedAvatar> {
  const file = parseSafetensors(buffer);
  return file.metadata.get("format") === BAKED_FORMAT[0] ? unpackBaked(file) : readAvatar(buffer);
}

async function unpackBaked(file: SafeFile): Promise<BakedAvatar> {
  checkFormat(file, BAKED_FORMAT);
  const head = readHead(file);
  const { count } = head;
  const latent = head.sourceLatent.length;
  const outBias = floats(file, "map.out.bias", [null]);
  const hiddenBias = floats(file, "map.hidden.bias", [null]);
  const [bases, hidden] = [outBias.length, hiddenBias.length];
  const codes = bases * ATTRIBUTES * count;
  if (bases > BAKED_MAX_BASES || hidden > BAKED_MAX_HIDDEN || codes > BAKED_MAX_CODES) {
    throw new FormatError("It holds too many bases.");
  }
  const layer = (name: string, outputs: number, inputs: number, bias?: Float32Array): Linear => ({
    inputs,
    outputs,
    weight: floats(file, name, [outputs, inputs]),
    bias: bias ?? new Float32Array(outputs),
  });
  return {
    ...head,
    bases,
    rest: await unpackRest(file, count),
    codes: await readCodes(file, "bases", codes),
    steps: floats(file, "bases.step", [ATTRIBUTES]),
    hidden: layer("map.hidden.weight", hidden, latent, hiddenBias),
    out: layer("map.out.weight", bases, hidden, outBias),
    linear: layer("map.linear", bases, latent),
  };
}

async function unpackRest(file: SafeFile, count: number): Promise<Float32Array> {
  const step = floats(file, "rest.step", [ATTRIBUTES]);
  const offset = floats(file, "rest.offset", [ATTRIBUTES]);
  const codes = await readCodes(file, "rest", ATTRIBUTES * count);
  const rest = Float32Array.from(codes, (code, at) => {
    const attribute = Math.floor(at / count);
    return code * step[attribute] + offset[attribute];
  });
  if (!rest.every(Number.isFinite)) throw new FormatError("rest is not finite.");
  return rest;
}

/** (K,) how much of each basis a latent asks for. */
export function basisWeights(avatar: BakedAvatar, latent: Float32Array): Float32Array {
  const bent = apply(avatar.out, apply(avatar.hidden, latent).map(silu));
  return apply(avatar.linear, latent).map((value, k) => value + bent[k]);
}

/** Tell a baked avatar what to express. */
export function playBaked(avatar: BakedAvatar, latent: Float32Array): Gaussians {
  const { count, codes, steps } = avatar;
  const size = ATTRIBUTES * count;
  const sums = new Float32Array(size);
  basisWeights(avatar, latent).forEach((weight, k) => {
    for (let at = 0; at < size; at++) sums[at] += weight * codes[k * size + at];
  });
  const values = avatar.rest.map((rest, at) => rest + steps[Math.floor(at / count)] * sums[at]);
  const result: Gaussians = {
    means: new Float32Array(4 * count),
    quats: new Float32Array(4 * count),
    scales: new Float32Array(4 * count),
    colors: new Float32Array(4 * count),
  };
  for (let i = 0; i < count; i++) {
    const of = (attribute: number) => values[attribute * count + i];
    const turn = [of(6), of(7), of(8)];
    const angle = Math.hypot(...turn);
    const sine = angle > 1e-6 ? Math.sin(angle / 2) / angle : 0.5;
    result.quats.set([Math.cos(angle / 2), ...turn.map((part) => sine * part)], 4 * i);
    for (let axis = 0; axis < 3; axis++) {
      result.means[4 * i + axis] = of(axis);
      result.scales[4 * i + axis] = Math.exp(limit(of(3 + axis), LARGEST_LOG_SCALE));
      result.colors[4 * i + axis] = Math.min(Math.max(of(10 + axis), 0), 1);
    }
    result.means[4 * i + 3] = 1 / (1 + Math.exp(-of(9)));
  }
  return result;
}

function limit(value: number, most: number): number {
  return Math.min(Math.max(value, -most), most);
}
