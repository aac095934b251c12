import { expect, test } from "vitest";
import { motionLatent } from "../src/decode";
import { readNetworks } from "../src/networks";
import { angles, canonicalLandmarks, fitPose, headMotion } from "../src/pose";
import { floats, parseSafetensors } from "../src/safetensors";
import { orbit } from "../src/scene";
import { expected, farthest, fixture, GAIN } from "./fixtures";

const FRAMES = 3;
const networks = readNetworks(fixture("networks.safetensors"), GAIN);
const pixels = floats(parseSafetensors(fixture("landmarks.safetensors")), "pixels", [
  FRAMES,
  478,
  3,
]);
const frame = (i: number) => pixels.subarray(1434 * i, 1434 * (i + 1));
const wanted = (name: string, i: number) => {
  const all = expected(name);
  return all.subarray((all.length / FRAMES) * i, (all.length / FRAMES) * (i + 1));
};

test.each([0, 1, 2])("recorded landmarks give the pose that Python finds: frame %i", (i) => {
  const pose = fitPose(networks.face, frame(i));
  expect(farthest(pose.rotation, wanted("face.rotation", i))).toBeLessThan(1e-3);
  const [focal] = wanted("face.focal", i);
  expect(Math.abs(pose.focal / focal - 1)).toBeLessThan(1e-3);
  expect(farthest(pose.centre, wanted("face.centre", i)) / focal).toBeLessThan(1e-4);
});

test.each([0, 1, 2])("and, the pose removed, the same face: frame %i", (i) => {
  const landmarks = canonicalLandmarks(networks.face, frame(i), fitPose(networks.face, frame(i)));
  expect(farthest(landmarks, wanted("face.landmarks", i))).toBeLessThan(5e-4);
  const latent = motionLatent(networks.motion, landmarks);
  expect(farthest(latent, wanted("face.latents", i))).toBeLessThan(0.02);
});

test.each([0, 1, 2])("a head's place is told from where it was: frame %i", (i) => {
  const [first, now] = [0, i].map((at) => fitPose(networks.face, frame(at)));
  const { rotation, translation } = headMotion(now, first);
  const matrix = [0, 1, 2].flatMap((row) => [
    ...rotation.slice(3 * row, 3 * row + 3),
    translation[row],
  ]);
  const python = wanted("face.cam_from_head", i).subarray(0, 12);
  expect(farthest(matrix, python)).toBeLessThan(2e-3);
});

test("angles are the inverse of orbiting", () => {
  const view = { yaw: 0.7, pitch: -0.4, roll: 0.3 };
  const found = angles(orbit({ ...view, zoom: 1 }, 1).rotation);
  for (const name of ["yaw", "pitch", "roll"] as const) {
    expect(found[name]).toBeCloseTo(view[name], 6);
  }
});
