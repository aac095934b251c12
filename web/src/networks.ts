/** The small networks that the page runs, as read from the weights file the server hands out. */

import { CHANNELS, CONTROL_GROUPS, LANDMARKS, RAW, WEIGHTS_FORMAT } from "./protocol.generated";
import {
  checkFormat,
  expectTensor,
  FormatError,
  floats,
  parseSafetensors,
  type SafeFile,
  toFloats,
} from "./safetensors";

/** y = weight · x + bias. */
export interface Linear {
  readonly inputs: number;
  readonly outputs: number;
  /** (outputs, inputs). */
  readonly weight: Float32Array;
  /** (outputs,). */
  readonly bias: Float32Array;
}

/** `mien.model.fusion.Fusion`. */
export interface Fusion {
  readonly gain: number;
  /** Without bias: a pair of latents to scale and shift. */
  readonly mapping: Linear;
  readonly proj: Linear;
  readonly hidden: Linear;
  readonly out: Linear;
}

/** `mien.model.decoder.Decoder`. */
export interface Decoder {
  readonly hidden: Linear;
  readonly out: Linear;
}

/** `mien.model.motion.LandmarkMotion`. */
export interface LandmarkMotion {
  readonly mean: Float32Array;
  readonly deviation: Float32Array;
  /** With SiLU between. */
  readonly layers: readonly [Linear, Linear, Linear];
}

/** `mien.serve.controls.Controls`. */
export interface Controls {
  /** (478, 3). */
  readonly neutral: Float32Array;
  /** (K, 478, 3). */
  readonly shapes: Float32Array;
}

/** `mien.preprocess.pose.Canonical`. */
export interface CanonicalFace {
  /** (478, 3) canonical landmarks of a neutral face. */
  readonly points: Float32Array;
  /** Landmarks that expressions hardly move. */
  readonly rigid: readonly number[];
  /** How much more the head nods than the landmarks do. */
  readonly pitchGain: number;
}

export interface Networks {
  readonly preset: string;
  readonly latentSize: number;
  readonly fusion: Fusion;
  readonly decoder: Decoder;
  readonly motion: LandmarkMotion;
  readonly controls: Controls;
  readonly face: CanonicalFace;
}

export type ControlName = (typeof CONTROL_GROUPS)[keyof typeof CONTROL_GROUPS][number];

/** The controls in the order of their shapes. */
export const CONTROL_NAMES: readonly ControlName[] = Object.values(CONTROL_GROUPS).flat();

/** Read a file of weights. `gain` is told apart, by the manifest. Throws `FormatError`. */
export function readNetworks(buffer: ArrayBuffer, gain: number): Networks {
  const file = parseSafetensors(buffer);
  checkFormat(file, WEIGHTS_FORMAT);
  const signals = LANDMARKS * 3 + 6;
  const layers: [Linear, Linear, Linear] = [
    linear(file, "motion.net.0", signals, null),
    linear(file, "motion.net.2", null, null),
    linear(file, "motion.net.4", null, null),
  ];
  const latentSize = layers[2].outputs;
  const fusion = {
    gain,
    mapping: linear(file, "fusion.mapping", 2 * latentSize, 2 * CHANNELS, false),
    proj: linear(file, "fusion.proj", CHANNELS, CHANNELS),
    hidden: linear(file, "fusion.net.0", CHANNELS, null),
    out: linear(file, "fusion.net.2", null, CHANNELS),
  };
  const decoder = {
    hidden: linear(file, "decoder.net.0", CHANNELS, null),
    out: linear(file, "decoder.net.2", null, RAW),
  };
  chained(...layers);
  chained(fusion.hidden, fusion.out);
  chained(decoder.hidden, decoder.out);
  return {
    preset: file.metadata.get("preset") ?? "",
    latentSize,
    fusion,
    decoder,
    motion: {
      mean: floats(file, "motion.mean", [signals]),
      deviation: floats(file, "motion.deviation", [signals]),
      layers,
    },
    controls: {
      neutral: floats(file, "controls.neutral", [LANDMARKS * 3]),
      shapes: floats(file, "controls.shapes", [CONTROL_NAMES.length * LANDMARKS * 3]),
    },
    face: canonicalFace(file),
  };
}

function canonicalFace(file: SafeFile): CanonicalFace {
  const rigid = Array.from(floats(file, "face.rigid", [null]));
  if (rigid.some((i) => !Number.isInteger(i) || i < 0 || i >= LANDMARKS)) {
    throw new FormatError("It names landmarks that do not exist.");
  }
  const [pitchGain] = floats(file, "face.pitch_gain", [1]);
  return { points: floats(file, "face.points", [LANDMARKS * 3]), rigid, pitchGain };
}

function chained(...layers: Linear[]): void {
  for (let i = 1; i < layers.length; i++) {
    if (layers[i].inputs !== layers[i - 1].outputs) throw new FormatError("Its layers do not fit.");
  }
}

function linear(
  file: SafeFile,
  name: string,
  inputs: number | null,
  outputs: number | null,
  biased = true,
): Linear {
  const tensor = expectTensor(file, `${name}.weight`, ["I8", "F16"], [outputs, inputs]);
  const [rows, columns] = tensor.shape;
  const weight = toFloats(tensor, name);
  if (tensor.dtype === "I8") {
    const scale = floats(file, `${name}.weight.scale`, [rows]);
    for (let i = 0; i < weight.length; i++) weight[i] *= scale[Math.floor(i / columns)];
  }
  const bias = biased ? floats(file, `${name}.bias`, [rows]) : new Float32Array(rows);
  return { inputs: columns, outputs: rows, weight, bias };
}
