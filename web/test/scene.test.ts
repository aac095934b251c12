import { expect, test } from "vitest";
import { readTake } from "../src/avatar";
import { dragged, FRONTAL, orbit, zoomed } from "../src/scene";
import { cameraAt, duration, latentAt, medianLatent } from "../src/take";
import { expected, farthest, fixture } from "./fixtures";

/** Rotation and translation of a row-major (4, 4). */
function parts(matrices: Float32Array, index: number) {
  const at = (row: number, column: number) => matrices[16 * index + 4 * row + column];
  const rows = [0, 1, 2];
  return {
    rotation: rows.flatMap((row) => rows.map((column) => at(row, column))),
    translation: rows.map((row) => at(row, 3)),
  };
}

test("orbits as Camera.orbit does", () => {
  const viewpoints = expected("viewpoints");
  for (let i = 0; i < viewpoints.length / 3; i++) {
    const [yaw, pitch, roll] = viewpoints.subarray(3 * i);
    const camera = orbit({ yaw, pitch, roll, zoom: 1 }, 3);
    const wanted = parts(expected("cam_from_world"), i);
    expect(farthest(camera.rotation, wanted.rotation)).toBeLessThan(1e-6);
    expect(farthest(camera.translation, wanted.translation)).toBeLessThan(1e-6);
  }
});

test("zooming lengthens the focal length, within bounds", () => {
  expect(orbit(zoomed(FRONTAL, 2), 3).focal).toBe(6);
  expect(zoomed(FRONTAL, 1e9).zoom).toBe(6);
});

test("dragging to the right turns the head to the right", () => {
  expect(dragged(FRONTAL, 10, 0, 100).yaw).toBeLessThan(0);
  expect(dragged(FRONTAL, 1e9, 1e9, 100)).toMatchObject({ yaw: -1.3, pitch: 0.9 });
});

test("a take is played frame by frame, and between frames", () => {
  const take = readTake(fixture("take.motion"));
  const source = new Float32Array(take.latentSize);
  const size = take.latentSize;
  const second = expected("take.latents").subarray(size, 2 * size);
  expect(farthest(latentAt(take, take.times[1], source, null), second)).toBeLessThan(1e-6);
  const first = expected("take.latents").subarray(0, size);
  const between = latentAt(take, (take.times[0] + take.times[1]) / 2, source, null);
  expect(
    farthest(
      between,
      first.map((v, d) => (v + second[d]) / 2),
    ),
  ).toBeLessThan(1e-4);
  expect(duration(take)).toBeCloseTo(5 / 25);
});

test("a relative take starts from the photo's own expression", () => {
  const take = readTake(fixture("take.motion"));
  const median = medianLatent(take);
  expect(farthest(median, expected("take.median"))).toBe(0);
  const source = median.map((_, d) => d);
  const latent = latentAt(take, 0, source, median);
  const wanted = source.map((own, d) => own + take.latents[d] - median[d]);
  expect(farthest(latent, wanted)).toBeLessThan(1e-6);
});

test("a take's poses are its cameras", () => {
  const take = readTake(fixture("take.motion"));
  const wanted = parts(expected("take.cam_from_head"), 2);
  const camera = cameraAt(take, take.times[2], 3);
  expect(farthest(camera.rotation, wanted.rotation)).toBeLessThan(1e-5);
  expect(farthest(camera.translation, wanted.translation)).toBeLessThan(1e-5);
});
