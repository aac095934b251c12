/** `.mien` files and `.motion` takes as typed arrays. */

import {
  AVATAR_FORMAT,
  CHANNELS,
  LARGEST_LOG_SCALE,
  MAX_LENGTH,
  MOTION_FORMAT,
} from "./protocol.generated";
import {
  checkFormat,
  expectTensor,
  FormatError,
  floats,
  integers,
  parseSafetensors,
  type SafeFile,
} from "./safetensors";

/** Where the Gaussians of a *pixel* avatar start from; see `mien.structures.Anchors`. */
export interface Anchors {
  /** (N, 3) canonical. */
  readonly means: Float32Array;
  /** (N, 3) in [0, 1]. */
  readonly colors: Float32Array;
  /** (N,) canonical units. */
  readonly scales: Float32Array;
  /** (N,) added before the decoder's softplus. */
  readonly density: Float32Array;
  /** (3, 3) photo camera axes to canonical. */
  readonly axes: Float32Array;
}

/** What every avatar file says of its person. */
export interface Head {
  readonly count: number;
  /** (D,) the photo's own expression. */
  readonly sourceLatent: Float32Array;
  /** Focal length in units of image size. */
  readonly focal: number;
  readonly preset: string;
  /** Fingerprint of the weights that read it; see `mien.model.matching`. */
  readonly weights: string;
  readonly provenance: Readonly<Record<string, string>>;
}

/** A person as canonical Gaussians; see `mien.structures.Avatar`. */
export interface Avatar extends Head {
  /** (N, 48). */
  readonly features: Float32Array;
  /** (N, 48). */
  readonly basis: Float32Array;
  readonly anchors: Anchors | null;
}

/** A driving take; see `mien.structures.Motion`. */
export interface Take {
  /** (T, D). */
  readonly latents: Float32Array;
  readonly latentSize: number;
  /** (T, 4) wxyz. */
  readonly quats: Float32Array;
  /** (T, 3). */
  readonly translations: Float32Array;
  /** (T,) seconds, increasing, from 0. */
  readonly times: Float32Array;
  readonly preset: string;
  /** Fingerprint of the motion encoder that made it. */
  readonly weights: string;
}

/** Read a `.mien` file that is not baked. Throws `FormatError`. */
export async function readAvatar(buffer: ArrayBuffer): Promise<Avatar> {
  const file = parseSafetensors(buffer);
  checkFormat(file, AVATAR_FORMAT);
  const head = readHead(file);
  const [features, basis] = await Promise.all([
    unpack(file, "features", head.count),
    unpack(file, "basis", head.count),
  ]);
  const anchors = file.tensors.has("anchors.means") ? unpackAnchors(file, head.count) : null;
  return { ...head, features, basis, anchors };
}

/** What all avatars share. Throws `FormatError`. */
export function readHead(file: SafeFile): Head {
  const count = Number(file.metadata.get("gaussians"));
  if (!Number.isInteger(count) || count < 1 || count > MAX_LENGTH) {
    throw new FormatError("Its number of Gaussians is malformed.");
  }
  const intrinsics = floats(file, "intrinsics", [3, 3]);
  if (!(intrinsics[0] > 0.05 && intrinsics[0] < 1000)) {
    throw new FormatError("Its focal length is out of range.");
  }
  return {
    count,
    sourceLatent: floats(file, "source_latent", [null]),
    focal: intrinsics[0],
    preset: file.metadata.get("preset") ?? "",
    weights: file.metadata.get("weights") ?? "",
    provenance: provenance(file),
  };
}

/** (N, 48) floats of quantised, deflated channels: the inverse of `_pack` in Python. */
async function unpack(file: SafeFile, name: string, count: number): Promise<Float32Array> {
  const step = floats(file, `${name}.step`, [CHANNELS]);
  const offset = floats(file, `${name}.offset`, [CHANNELS]);
  const codes = await readCodes(file, name, CHANNELS * count);
  const values = new Float32Array(codes.length);
  for (let channel = 0; channel < CHANNELS; channel++) {
    for (let i = 0; i < count; i++) {
      const code = codes[channel * count + i];
      values[i * CHANNELS + channel] = code * step[channel] + offset[channel];
    }
  }
  if (!values.every(Number.isFinite)) throw new FormatError(`${name} is not finite.`);
  return values;
}

/** Whole numbers that were split into a plane of low and one of high bytes, and deflated. */
export async function readCodes(file: SafeFile, name: string, size: number): Promise<Int16Array> {
  const stream = expectTensor(file, `${name}.codes`, ["U8"], [null]).bytes;
  const planes = await inflate(stream, 2 * size);
  const codes = new Int16Array(size);
  for (let i = 0; i < size; i++) codes[i] = (planes[i] | (planes[size + i] << 8)) - CODE_OFFSET;
  return codes;
}

/** What is added to codes before they are split, so that small ones have the same high byte. */
const CODE_OFFSET = 128;

/** Deflate makes nothing smaller than this. */
const BEST_RATIO = 1100;

/** Inflate a zlib stream that must hold exactly `size` bytes; stops as soon as it holds more. */
export async function inflate(stream: Uint8Array, size: number): Promise<Uint8Array> {
  if (size > BEST_RATIO * stream.length) throw new FormatError("Its codes are too few.");
  const result = new Uint8Array(size);
  let filled = 0;
  const source = new Blob([stream.slice()]).stream();
  const reader = source.pipeThrough(new DecompressionStream("deflate")).getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (filled + part.value.length > size) throw new FormatError("Its codes are too many.");
      result.set(part.value, filled);
      filled += part.value.length;
    }
  } catch (error) {
    await reader.cancel().catch(() => undefined);
    if (error instanceof FormatError) throw error;
    throw new FormatError("Its codes are damaged.");
  }
  if (filled !== size) throw new FormatError("Its codes are too few.");
  return result;
}

function unpackAnchors(file: SafeFile, count: number): Anchors {
  const box = floats(file, "anchors.box", [2, 3]);
  const steps = integers(file, "anchors.means", "U16", [count, 3]);
  const means = Float32Array.from(steps, (value, i) => {
    const axis = i % 3;
    return box[axis] + (value / 65_535) * (box[3 + axis] - box[axis]);
  });
  const logScales = floats(file, "anchors.scales", [count]);
  if (logScales.some((value) => Math.abs(value) > LARGEST_LOG_SCALE)) {
    throw new FormatError("anchors.scales is out of range.");
  }
  return {
    means,
    colors: Float32Array.from(
      integers(file, "anchors.colors", "U8", [count, 3]),
      (value) => value / 255,
    ),
    scales: logScales.map(Math.exp),
    density: floats(file, "anchors.density", [count]),
    axes: floats(file, "anchors.axes", [3, 3]),
  };
}

function provenance(file: SafeFile): Record<string, string> {
  const fields = new Map<string, string>();
  try {
    for (const [key, value] of Object.entries(JSON.parse(file.metadata.get("provenance") ?? ""))) {
      if (typeof value !== "string") throw new FormatError("not a text");
      fields.set(key, value);
    }
  } catch {
    throw new FormatError("Its provenance is damaged.");
  }
  return Object.fromEntries(fields);
}

/** Read a `.motion` file. Throws `FormatError`. */
export function readTake(buffer: ArrayBuffer): Take {
  const file = parseSafetensors(buffer);
  checkFormat(file, MOTION_FORMAT);
  const [frames, latentSize] = expectTensor(file, "latents", ["F16"], [null, null]).shape;
  const times = floats(file, "times", [frames]);
  if (times.some((time, i) => i > 0 && time < times[i - 1])) {
    throw new FormatError("Its times do not increase.");
  }
  return {
    latents: floats(file, "latents", [frames, latentSize]),
    latentSize,
    quats: floats(file, "quats", [frames, 4]),
    translations: floats(file, "translations", [frames, 3]),
    times: times.map((time) => time - times[0]),
    preset: file.metadata.get("preset") ?? "",
    weights: file.metadata.get("weights") ?? "",
  };
}
