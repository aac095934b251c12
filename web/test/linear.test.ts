import { expect, test } from "vitest";
import { apply3, bestRotation, rotationFromVector, solve, times } from "../src/linear";
import { farthest, random } from "./fixtures";

test("equations are solved, also where a pivot is zero", () => {
  expect(solve([0, 2, 1, 1], [4, 5])).toEqual([3, 2]);
});

test.each([0.1, 1.5, 3.1])("points turned by %f radians are turned back", (angle) => {
  const next = random(1);
  const turn = rotationFromVector([0.6 * angle, -0.8 * angle, 0]);
  const moments = new Array<number>(9).fill(0);
  for (let n = 0; n < 20; n++) {
    // Nearly flat, as a face is.
    const p = [next() - 0.5, next() - 0.5, 0.1 * (next() - 0.5)];
    const q = apply3(turn, p[0], p[1], p[2]);
    for (let i = 0; i < 9; i++) moments[i] += p[Math.floor(i / 3)] * q[i % 3];
  }
  expect(farthest(bestRotation(moments), turn)).toBeLessThan(1e-9);
});

test("what is nearly a rotation becomes the nearest one", () => {
  const turn = rotationFromVector([0.3, 2.9, -0.4]);
  const stretched = times(turn, [1.1, 0, 0, 0, 1.1, 0, 0, 0, 1.1]);
  const transposed = [0, 3, 6, 1, 4, 7, 2, 5, 8].map((at) => stretched[at]);
  expect(farthest(bestRotation(transposed), turn)).toBeLessThan(1e-9);
});
