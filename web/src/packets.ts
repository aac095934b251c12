/** Motion on the wire; the twin of `mien.serve.packets`, where the layout is described. */

import { PACKET_HEADER, PACKET_VERSION, type Range, REACH } from "./protocol.generated";

/** What the driver does at one moment. */
export interface Packet {
  readonly range: number;
  readonly sequence: number;
  /** Since the driver's start. */
  readonly milliseconds: number;
  /** Rotation vector of `cam_from_head`. */
  readonly rotation: readonly number[];
  /** Canonical units. */
  readonly translation: readonly number[];
  readonly latent: Float32Array;
}

const STEPS = 32_767;
const CODES = 127;

/** Quantise; what lies outside its range is clamped. */
export function encodePacket(packet: Packet, range: Range): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(PACKET_HEADER + range.centre.length));
  view.setUint8(0, PACKET_VERSION);
  view.setUint8(1, packet.range);
  view.setUint16(2, packet.sequence & 0xffff, true);
  view.setUint32(4, packet.milliseconds >>> 0, true);
  for (let i = 0; i < 3; i++) {
    view.setInt16(8 + 2 * i, quantise(packet.rotation[i] / Math.PI, STEPS), true);
    view.setInt16(14 + 2 * i, quantise(packet.translation[i] / REACH, STEPS), true);
  }
  packet.latent.forEach((value, d) => {
    view.setInt8(PACKET_HEADER + d, quantise((value - range.centre[d]) / range.span[d], CODES));
  });
  return view.buffer;
}

/** The inverse; null where the bytes are no packet of this range. */
export function decodePacket(data: ArrayBuffer, range: Range): Packet | null {
  if (data.byteLength !== PACKET_HEADER + range.centre.length) return null;
  const view = new DataView(data);
  if (view.getUint8(0) !== PACKET_VERSION || view.getUint8(1) !== range.id) return null;
  const axes = [0, 1, 2];
  return {
    range: range.id,
    sequence: view.getUint16(2, true),
    milliseconds: view.getUint32(4, true),
    rotation: axes.map((i) => (view.getInt16(8 + 2 * i, true) / STEPS) * Math.PI),
    translation: axes.map((i) => (view.getInt16(14 + 2 * i, true) / STEPS) * REACH),
    latent: Float32Array.from(
      range.centre,
      (centre, d) => centre + (view.getInt8(PACKET_HEADER + d) / CODES) * range.span[d],
    ),
  };
}

function quantise(value: number, steps: number): number {
  return Math.round(Math.min(Math.max(value, -1), 1) * steps);
}

/**
 * A range that holds `latent`, and with room to spare all that `before` did; or `before`. Ranges are
 * ten times as large as packets, so they are few: the first is wide, and the next are wider.
 */
export function rangeFor(latent: Float32Array, before: Range | null): Range {
  const inside =
    before && latent.every((value, d) => Math.abs(value - before.centre[d]) <= before.span[d]);
  if (before && inside) return before;
  const centre = before?.centre ?? Array.from(latent, brief);
  const first = (FIRST_SPAN * Math.hypot(...latent)) / Math.sqrt(latent.length);
  const span = Array.from(latent, (value, d) => {
    const grown = Math.max(before?.span[d] ?? 0, Math.abs(value - centre[d]));
    return brief(before ? ROOM_TO_SPARE * grown : Math.max(first, LEAST_SPAN));
  });
  return { id: ((before?.id ?? -1) + 1) & 255, centre, span };
}

/** How far latents go from the first one, as a multiple of its root mean square. */
const FIRST_SPAN = 3;
const LEAST_SPAN = 0.05;
const ROOM_TO_SPARE = 1.5;

/** A number as ranges say it. */
function brief(value: number): number {
  return Number(value.toPrecision(4));
}

/** Rotation vector of a row-major (3, 3) rotation. */
export function vectorOf(rotation: readonly number[]): number[] {
  const [w, x, y, z] = quaternionOf(rotation);
  const sine = Math.hypot(x, y, z);
  const factor = sine < 1e-9 ? 2 : (2 * Math.atan2(sine, w)) / sine;
  return [x, y, z].map((part) => factor * part);
}

/** Quaternion wxyz of a rotation vector. */
export function quaternionFrom(vector: readonly number[]): number[] {
  const angle = Math.hypot(...vector);
  const factor = angle < 1e-9 ? 0.5 : Math.sin(angle / 2) / angle;
  return [Math.cos(angle / 2), ...vector.map((part) => factor * part)];
}

/** wxyz with w ≥ 0; from the largest of the four, which never vanishes. */
function quaternionOf(r: readonly number[]): number[] {
  const squares = [
    1 + r[0] + r[4] + r[8],
    1 + r[0] - r[4] - r[8],
    1 - r[0] + r[4] - r[8],
    1 - r[0] - r[4] + r[8],
  ];
  const rows = [
    [squares[0], r[7] - r[5], r[2] - r[6], r[3] - r[1]],
    [r[7] - r[5], squares[1], r[1] + r[3], r[2] + r[6]],
    [r[2] - r[6], r[1] + r[3], squares[2], r[5] + r[7]],
    [r[3] - r[1], r[2] + r[6], r[5] + r[7], squares[3]],
  ];
  const row = rows[squares.indexOf(Math.max(...squares))];
  const length = Math.hypot(...row) * (row[0] < 0 ? -1 : 1);
  return row.map((part) => part / length);
}
