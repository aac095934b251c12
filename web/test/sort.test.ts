import { expect, test } from "vitest";
import { backToFront } from "../src/sort";
import { random } from "./fixtures";

const DEPTH = [0.2, -0.1, -0.9, 2.7];

function cloud(count: number): Float32Array {
  const next = random(3);
  return Float32Array.from({ length: 4 * count }, (_, i) => (i % 4 === 3 ? 0.5 : next() - 0.5));
}

function depthOf(means: Float32Array, i: number): number {
  const [x, y, z] = means.subarray(4 * i);
  return DEPTH[0] * x + DEPTH[1] * y + DEPTH[2] * z + DEPTH[3];
}

test("orders far to near, to a part of the depth range, and leaves nothing out", () => {
  const means = cloud(5000);
  const order = backToFront(means, DEPTH);
  const depths = Array.from(order, (i) => depthOf(means, i));
  const range = Math.max(...depths) - Math.min(...depths);
  for (let k = 1; k < depths.length; k++) {
    expect(depths[k]).toBeLessThan(depths[k - 1] + range / 60_000);
  }
  expect(new Set(order).size).toBe(5000);
});

test("leaves out what cannot be seen", () => {
  const means = Float32Array.of(
    ...[0, 0, 0, 1],
    ...[0, 0, 3, 1],
    ...[0, 0, 0, 0.003],
    ...[Number.NaN, 0, 0, 1],
    ...[0, 0, -0.5, 1],
  );
  expect([...backToFront(means, [0, 0, -1, 2.7])]).toEqual([4, 0]);
});

test("takes equal depths, and none", () => {
  const flat = new Float32Array(400).map((_, i) => (i % 4 === 3 ? 1 : 0));
  expect(backToFront(flat, DEPTH).length).toBe(100);
  expect(backToFront(new Float32Array(0), DEPTH).length).toBe(0);
});
