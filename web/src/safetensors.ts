/**
 * Reading safetensors that strangers may have written: every size is checked before it is used,
 * and what does not hold together is refused with a reason a person can read.
 */

import { MAX_BYTES, MAX_LENGTH } from "./protocol.generated";

/** A file cannot be used; the message says why, for the person who opened it. */
export class FormatError extends Error {}

const ITEM_BYTES = {
  U8: 1,
  I8: 1,
  U16: 2,
  F16: 2,
  F32: 4,
  F64: 8,
  I64: 8,
} as const;

export type Dtype = keyof typeof ITEM_BYTES;

export interface Tensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** A copy-free view into the file; not aligned. */
  readonly bytes: Uint8Array;
}

export interface SafeFile {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

const MAX_HEADER_BYTES = 1 << 20;
const MAX_TENSORS = 4096;
const MAX_AXES = 8;

/** Split a file into named tensors. Throws `FormatError`. */
export function parseSafetensors(buffer: ArrayBuffer): SafeFile {
  if (buffer.byteLength < 8 || buffer.byteLength > MAX_BYTES) {
    throw new FormatError("It is cut short, or far too large.");
  }
  const length = new DataView(buffer).getBigUint64(0, true);
  if (length > BigInt(Math.min(buffer.byteLength - 8, MAX_HEADER_BYTES))) {
    throw new FormatError("It is cut short, damaged or of another kind.");
  }
  const start = 8 + Number(length);
  const header = parseHeader(new Uint8Array(buffer, 8, Number(length)));
  const metadata = new Map<string, string>();
  const tensors = new Map<string, Tensor>();
  let covered = 0;
  for (const [name, entry] of sortedByOffset(header)) {
    if (name === "__metadata__") {
      for (const [key, value] of Object.entries(record(entry))) {
        if (typeof value !== "string") throw new FormatError("Its header is damaged.");
        metadata.set(key, value);
      }
      continue;
    }
    const tensor = parseTensor(record(entry), buffer, start, covered);
    tensors.set(name, tensor);
    covered += tensor.bytes.length;
  }
  if (start + covered !== buffer.byteLength) {
    throw new FormatError("It holds more, or less, than its header says.");
  }
  return { metadata, tensors };
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  try {
    return record(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch {
    throw new FormatError("It is no safetensors file: its header cannot be read.");
  }
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError("Its header is damaged.");
  }
  return value as Record<string, unknown>;
}

/** Entries in the order of their data; the metadata, which has none, first. */
function sortedByOffset(header: Record<string, unknown>): [string, unknown][] {
  const entries = Object.entries(header);
  if (entries.length > MAX_TENSORS) throw new FormatError("It holds too many tensors.");
  const offset = ([name, entry]: [string, unknown]): number => {
    if (name === "__metadata__") return -1;
    const offsets = record(entry).data_offsets;
    return Array.isArray(offsets) && isCount(offsets[0]) ? offsets[0] : Number.POSITIVE_INFINITY;
  };
  return entries.sort((a, b) => offset(a) - offset(b));
}

function parseTensor(
  entry: Record<string, unknown>,
  buffer: ArrayBuffer,
  start: number,
  covered: number,
): Tensor {
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !Object.hasOwn(ITEM_BYTES, dtype)) {
    throw new FormatError("It holds numbers of an unknown kind.");
  }
  if (!Array.isArray(shape) || shape.length > MAX_AXES || !shape.every(isCount)) {
    throw new FormatError("The shape of a tensor is absurd.");
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw new FormatError("Its header is damaged.");
  }
  const [low, high] = offsets as [number, number];
  const size = shape.reduce((product, side) => product * side, ITEM_BYTES[dtype as Dtype]);
  if (low !== covered || high - low !== size || start + high > buffer.byteLength) {
    throw new FormatError("A tensor's size is not what its header says.");
  }
  return { dtype: dtype as Dtype, shape, bytes: new Uint8Array(buffer, start + low, size) };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MAX_BYTES;
}

/** Refuse a file unless it is of this format, in a schema that this page can read. */
export function checkFormat(file: SafeFile, [name, schema]: readonly [string, number]): void {
  if (file.metadata.get("format") !== name) throw new FormatError(`It is no ${name} file.`);
  const found = Number(file.metadata.get("schema"));
  if (!Number.isInteger(found) || found < 1) throw new FormatError("Its version is malformed.");
  if (found > schema) throw new FormatError("It was written by a newer version of Mien.");
}

/** A tensor of exactly this shape; null stands for any size from 1 on. */
export function expectTensor(
  file: SafeFile,
  name: string,
  dtypes: readonly Dtype[],
  shape: readonly (number | null)[],
): Tensor {
  const tensor = file.tensors.get(name);
  if (!tensor) throw new FormatError(`It lacks ${name}.`);
  const fits =
    dtypes.includes(tensor.dtype) &&
    tensor.shape.length === shape.length &&
    shape.every((side, axis) => {
      const found = tensor.shape[axis];
      return side === null ? found > 0 && found <= MAX_LENGTH : found === side;
    });
  if (!fits) throw new FormatError(`${name} has the wrong shape or kind of numbers.`);
  return tensor;
}

/** A tensor of floats as float32; every number is finite. */
export function floats(
  file: SafeFile,
  name: string,
  shape: readonly (number | null)[],
): Float32Array {
  return toFloats(expectTensor(file, name, ["F32", "F16", "F64"], shape), name);
}

/** Whole numbers without sign, of one or two bytes. */
export function integers(
  file: SafeFile,
  name: string,
  dtype: "U8" | "U16",
  shape: readonly (number | null)[],
): Uint8Array | Uint16Array {
  const { bytes } = expectTensor(file, name, [dtype], shape);
  const copy = bytes.slice();
  return dtype === "U8" ? copy : new Uint16Array(copy.buffer);
}

/** A tensor's numbers as float32, whatever their kind; every number is finite. */
export function toFloats(tensor: Tensor, name: string): Float32Array {
  const { buffer } = tensor.bytes.slice();
  let values: Float32Array;
  if (tensor.dtype === "F32") values = new Float32Array(buffer);
  else if (tensor.dtype === "F16") values = Float32Array.from(new Uint16Array(buffer), fromHalf);
  else if (tensor.dtype === "F64") values = Float32Array.from(new Float64Array(buffer));
  else if (tensor.dtype === "I8") values = Float32Array.from(new Int8Array(buffer));
  else throw new FormatError(`${name} is of the wrong kind of numbers.`);
  if (!values.every(Number.isFinite)) throw new FormatError(`${name} is not finite.`);
  return values;
}

/** The value of a half-precision number's bits. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
