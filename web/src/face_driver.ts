/** Landmarks of the face before the camera → what an avatar is to express, and from where it is seen. */

import type { Head } from "./avatar";
import { motionLatent } from "./decode";
import { bestRotation } from "./linear";
import type { Networks } from "./networks";
import { canonicalLandmarks, fitPose, type HeadPose, headMotion } from "./pose";
import { LANDMARKS } from "./protocol.generated";
import type { Camera } from "./scene";
import { OneEuro } from "./smooth";

/** Seconds without a face after which its last place says nothing any more. */
const GAP = 0.5;

/** Follows one face through a stream. */
export class FaceDriver {
  readonly #networks: Networks;
  readonly #calm = new OneEuro();
  /** Where the head is centred. */
  #reference: HeadPose | null = null;
  #pose: HeadPose | null = null;
  #latent: Float32Array | null = null;
  #rest: Float32Array | null = null;
  #before = 0;

  constructor(networks: Networks) {
    this.#networks = networks;
  }

  /** What landmarks (478, 3), in pixels, ask of an avatar. */
  drive(avatar: Head, landmarks: Float32Array, seconds: number) {
    if (seconds - this.#before > GAP) this.#calm.reset();
    this.#before = seconds;
    const { face, motion } = this.#networks;
    this.#pose = fitPose(face, landmarks);
    this.#reference ??= this.#pose;
    const head = headMotion(this.#pose, this.#reference);
    const canonical = canonicalLandmarks(face, landmarks, this.#pose);
    const calm = this.#calm.next(
      Float32Array.from([...canonical, ...head.rotation, ...head.translation]),
      seconds,
    );
    this.#latent = motionLatent(motion, calm.subarray(0, 3 * LANDMARKS));
    const rest = this.#rest;
    const latent = this.#latent.map((value, d) =>
      rest ? avatar.sourceLatent[d] + value - rest[d] : value,
    );
    return { latent, camera: cameraOf(calm.subarray(3 * LANDMARKS), avatar.focal) };
  }

  /** Take the face and place of now for the photo's own expression, looking ahead. */
  rest(): void {
    this.#reference = this.#pose;
    this.#rest = this.#latent;
    this.#calm.reset();
  }
}

/** Of nine numbers that are a rotation but for calming, and a translation. */
function cameraOf(numbers: Float32Array, focal: number): Camera {
  const transposed = [0, 3, 6, 1, 4, 7, 2, 5, 8].map((at) => numbers[at]);
  const translation = Array.from(numbers.subarray(9, 12));
  return { rotation: bestRotation(transposed), translation, focal };
}
