/**
 * Landmarks in a picture → where the head is, and what the face does: the twin, for one frame, of
 * `mien.preprocess.pose`, where the reasons are.
 */

import { apply3, bestRotation, rotationFromVector, solve, times } from "./linear";
import type { CanonicalFace } from "./networks";
import { LANDMARKS, RADIUS } from "./protocol.generated";
import { orbit } from "./scene";

const ITERATIONS = 4;
const HUBER = 2;

/** A canonical point x is seen at centre + focal · q.xy / q.z, q = rotation · x + (0, 0, RADIUS). */
export interface HeadPose {
  /** (3, 3) row-major. */
  readonly rotation: readonly number[];
  /** Pixels. */
  readonly focal: number;
  /** (2,) pixels. */
  readonly centre: readonly [number, number];
}

/** Points of the canonical head, and where they are seen, two numbers each. */
interface Pairs {
  readonly points: readonly (readonly number[])[];
  readonly seen: readonly (readonly number[])[];
}

/** Fit a pose to landmarks (478, 3), in pixels. */
export function fitPose(face: CanonicalFace, landmarks: Float32Array): HeadPose {
  const pixels = face.rigid.map((i) => [landmarks[3 * i], landmarks[3 * i + 1]]);
  const middle = mean(pixels);
  const spread = Math.sqrt(
    pixels.reduce((sum, p) => sum + (p[0] - middle[0]) ** 2 + (p[1] - middle[1]) ** 2, 0) /
      pixels.length,
  );
  const pairs = {
    points: face.rigid.map((i) => Array.from(face.points.subarray(3 * i, 3 * i + 3))),
    seen: pixels.map((p) => p.map((value, axis) => (value - middle[axis]) / spread)),
  };
  const { yaw, pitch, roll } = angles(gaussNewton(pairs));
  // MediaPipe's landmarks slide over the skin: they nod less than the head does.
  const nod = Math.min(Math.max(pitch * face.pitchGain, -1.5), 1.5);
  const { rotation } = orbit({ yaw, pitch: nod, roll, zoom: 1 }, 1);
  const { focal, centre } = place(pairs, rotation);
  return {
    rotation,
    focal: focal * spread,
    centre: [centre[0] * spread + middle[0], centre[1] * spread + middle[1]],
  };
}

/** Minimise the reprojection error, with Huber's loss; gives the rotation. */
function gaussNewton(pairs: Pairs): number[] {
  let { rotation, focal } = linearPose(pairs);
  let centre = [0, 0];
  for (let i = 0; i < ITERATIONS; i++) {
    const step = newtonStep(pairs, rotation, focal, centre);
    const turn = step.slice(0, 3).map((part) => -part);
    rotation = times(rotationFromVector(turn), rotation);
    focal *= Math.exp(-step[3]);
    centre = centre.map((value, axis) => value - step[4 + axis]);
  }
  return rotation;
}

/** One step in six unknowns: a rotation vector applied on the left, log focal, centre x and y. */
function newtonStep(
  { points, seen }: Pairs,
  rotation: readonly number[],
  focal: number,
  centre: readonly number[],
): number[] {
  const rows = points.map(([px, py, pz], i) => {
    const [x, y, z] = apply3(rotation, px, py, pz);
    const gain = focal / (z + RADIUS);
    const [u, v] = [x / (z + RADIUS), y / (z + RADIUS)];
    const residual = [gain * x + centre[0] - seen[i][0], gain * y + centre[1] - seen[i][1]];
    const jacobian = [
      [-gain * u * y, gain * (z + u * x), -gain * y, gain * x, 1, 0],
      [-gain * (z + v * y), gain * v * x, gain * x, gain * y, 0, 1],
    ];
    return { residual, jacobian, distance: Math.hypot(...residual) };
  });
  const limit = HUBER * 1.48 * median(rows.map(({ distance }) => distance)) + 1e-9;
  const normal = new Array<number>(36).fill(0);
  const right = new Array<number>(6).fill(0);
  for (const { residual, jacobian, distance } of rows) {
    const trust = Math.min(1, limit / Math.max(distance, 1e-12));
    jacobian.forEach((row, axis) => {
      for (let a = 0; a < 6; a++) {
        right[a] += trust * row[a] * residual[axis];
        for (let b = 0; b < 6; b++) normal[6 * a + b] += trust * row[a] * row[b];
      }
    });
  }
  return solve(normal, right);
}

/** Weak-perspective start, by least squares. */
function linearPose({ points, seen }: Pairs): { rotation: number[]; focal: number } {
  const design = points.map((point) => [...point, 1]);
  const square = [0, 1, 2, 3].flatMap((a) =>
    [0, 1, 2, 3].map((b) => design.reduce((sum, row) => sum + row[a] * row[b], 0)),
  );
  const [right, down] = [0, 1].map((axis) =>
    solve(
      square,
      [0, 1, 2, 3].map((a) => design.reduce((sum, row, i) => sum + row[a] * seen[i][axis], 0)),
    ).slice(0, 3),
  );
  // The nearest two orthonormal rows: (A Aᵀ)^(-1/2) A, the root of a (2, 2) being known in closed form.
  const [rr, rd, dd] = [dot(right, right), dot(right, down), dot(down, down)];
  const area = Math.sqrt(rr * dd - rd * rd);
  const stretch = Math.sqrt(rr + dd + 2 * area);
  const mix = (a: number, b: number) =>
    right.map((value, i) => (a * value + b * down[i]) / (area * stretch));
  const [x, y] = [mix(dd + area, -rd), mix(-rd, rr + area)];
  return { rotation: [...x, ...y, ...cross(x, y)], focal: (stretch / 2) * RADIUS };
}

/** Focal length and centre by least squares, the rotation given. */
function place({ points, seen }: Pairs, rotation: readonly number[]) {
  const flat = points.map(([px, py, pz]) => {
    const [x, y, z] = apply3(rotation, px, py, pz);
    return [x / (z + RADIUS), y / (z + RADIUS)];
  });
  const [from, to] = [mean(flat), mean(seen)];
  let [product, square] = [0, 0];
  flat.forEach((point, i) => {
    point.forEach((value, axis) => {
      product += (value - from[axis]) * (seen[i][axis] - to[axis]);
      square += (value - from[axis]) ** 2;
    });
  });
  const focal = product / square;
  return { focal, centre: to.map((value, axis) => value - focal * from[axis]) };
}

/** Yaw, pitch and roll of a head-to-camera rotation; the inverse of `orbit`. */
export function angles(rotation: readonly number[]): { yaw: number; pitch: number; roll: number } {
  const back = rotation.slice(6).map((value) => -value);
  const yaw = Math.atan2(back[0], back[2]);
  const pitch = Math.asin(Math.min(Math.max(back[1], -1), 1));
  const level = [Math.cos(yaw), 0, -Math.sin(yaw)];
  const right = rotation.slice(0, 3);
  return { yaw, pitch, roll: Math.atan2(dot(right, cross(back, level)), dot(right, level)) };
}

/** (478, 3) the face's own points in the canonical head frame, its pose removed. */
export function canonicalLandmarks(
  face: CanonicalFace,
  landmarks: Float32Array,
  pose: HeadPose,
): Float32Array {
  const depths = Array.from(
    { length: LANDMARKS },
    (_, i) => (landmarks[3 * i + 2] * RADIUS) / pose.focal,
  );
  const [a, b, c] = pose.rotation.slice(6);
  const nearer =
    face.rigid.reduce((sum, i) => {
      const [x, y, z] = face.points.subarray(3 * i, 3 * i + 3);
      return sum + a * x + b * y + c * z - depths[i];
    }, 0) / face.rigid.length;
  const local = depths.map((depth, i) => {
    const z = depth + nearer;
    const ray = [0, 1].map((axis) => (landmarks[3 * i + axis] - pose.centre[axis]) / pose.focal);
    return [ray[0] * (z + RADIUS), ray[1] * (z + RADIUS), z];
  });
  return laidOn(face, local);
}

/** Points moved rigidly so that the rigid ones lie on the canonical head as well as they can. */
function laidOn(face: CanonicalFace, local: readonly (readonly number[])[]): Float32Array {
  const targets = face.rigid.map((i) => Array.from(face.points.subarray(3 * i, 3 * i + 3)));
  const [from, to] = [mean(face.rigid.map((i) => local[i])), mean(targets)];
  const moments = new Array<number>(9).fill(0);
  face.rigid.forEach((i, k) => {
    for (let p = 0; p < 3; p++) {
      for (let q = 0; q < 3; q++) {
        moments[3 * p + q] += (local[i][p] - from[p]) * (targets[k][q] - to[q]);
      }
    }
  });
  const rotation = bestRotation(moments);
  return Float32Array.from(
    local.flatMap(([x, y, z]) =>
      apply3(rotation, x - from[0], y - from[1], z - from[2]).map((value, q) => value + to[q]),
    ),
  );
}

/**
 * Where a head is for a camera that has the head of `reference` centred before it, `RADIUS` away:
 * rotation (3, 3) and translation (3,), canonical head frame to camera.
 */
export function headMotion(pose: HeadPose, reference: HeadPose) {
  const depth = (RADIUS * reference.focal) / pose.focal;
  const [x, y] = [0, 1].map((i) => (pose.centre[i] - reference.centre[i]) / reference.focal);
  // The head was posed along its own viewing ray, so the ray's turn is added.
  const sine = Math.hypot(x, y);
  const turn = Math.atan(sine) / Math.max(sine, 1e-12);
  return {
    rotation: times(rotationFromVector([-y * turn, x * turn, 0]), pose.rotation),
    translation: [x * depth, y * depth, depth],
  };
}

function mean(points: readonly (readonly number[])[]): number[] {
  return points[0].map((_, axis) => points.reduce((sum, p) => sum + p[axis], 0) / points.length);
}

/** As numpy gives it. */
function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

function cross(a: readonly number[], b: readonly number[]): number[] {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}
