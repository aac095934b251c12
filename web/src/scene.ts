/** Cameras, in the conventions of `mien.structures.Camera`. */

import { rotationFromQuaternion } from "./linear";
import { RADIUS } from "./protocol.generated";

/** A pinhole camera around the canonical head frame. */
export interface Camera {
  /** (3, 3) row-major and (3,): x_cam = rotation · x_world + translation, OpenCV axes. */
  readonly rotation: readonly number[];
  readonly translation: readonly number[];
  /** In units of the picture's shorter side; the principal point is in the middle. */
  readonly focal: number;
}

/** Where a person looks from: angles in radians, zoom as a factor. */
export interface Viewpoint {
  readonly yaw: number;
  readonly pitch: number;
  readonly roll: number;
  readonly zoom: number;
}

export const FRONTAL: Viewpoint = { yaw: 0, pitch: 0, roll: 0, zoom: 1 };

/** `Camera.orbit`: on a sphere around the head, looking at its centre. */
export function orbit(view: Viewpoint, focal: number): Camera {
  const [cy, sy] = [Math.cos(view.yaw), Math.sin(view.yaw)];
  const [cp, sp] = [Math.cos(view.pitch), Math.sin(view.pitch)];
  const [cr, sr] = [Math.cos(view.roll), Math.sin(view.roll)];
  // Columns of world_from_cam before the roll: about_y @ about_x @ diag(1, -1, -1).
  const right = [cy, 0, -sy];
  const down = [sy * sp, -cp, cy * sp];
  const forward = [-sy * cp, -sp, -cy * cp];
  const rotation = [
    ...right.map((r, i) => cr * r - sr * down[i]),
    ...right.map((r, i) => sr * r + cr * down[i]),
    ...forward,
  ];
  return { rotation, translation: [0, 0, RADIUS], focal: focal * view.zoom };
}

/** The camera of a take's frame: `cam_from_head` as a quaternion wxyz and a translation. */
export function follow(
  quat: ArrayLike<number>,
  translation: ArrayLike<number>,
  focal: number,
): Camera {
  return {
    rotation: rotationFromQuaternion(quat),
    translation: [translation[0], translation[1], translation[2]],
    focal,
  };
}

/** Viewpoint after dragging by pixels; a drag across the picture turns the head by 120°. */
export function dragged(view: Viewpoint, dx: number, dy: number, side: number): Viewpoint {
  const turn = (2 * Math.PI) / 3 / side;
  return {
    ...view,
    yaw: limit(view.yaw - dx * turn, 1.3),
    pitch: limit(view.pitch + dy * turn, 0.9),
  };
}

/** Viewpoint zoomed by a factor, within reason. */
export function zoomed(view: Viewpoint, factor: number): Viewpoint {
  return { ...view, zoom: Math.min(Math.max(view.zoom * factor, 0.4), 6) };
}

function limit(value: number, most: number): number {
  return Math.min(Math.max(value, -most), most);
}
