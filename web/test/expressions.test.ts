import { expect, test } from "vitest";
import { EXPRESSIONS, gaze, label, toArray } from "../src/expressions";
import { CONTROL_NAMES } from "../src/networks";

test("expressions and the gaze pad name controls that exist", () => {
  for (const values of [...Object.values(EXPRESSIONS), gaze(0.5, -0.5)]) {
    for (const [name, value] of Object.entries(values)) {
      expect(CONTROL_NAMES).toContain(name);
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThanOrEqual(1);
    }
  }
});

test("both eyes look to the same side", () => {
  expect(gaze(1, 0)).toMatchObject({ eyeLookOutLeft: 1, eyeLookInRight: 1, eyeLookInLeft: 0 });
  expect(gaze(0, -1)).toMatchObject({ eyeLookDownLeft: 1, eyeLookDownRight: 1, eyeLookUpLeft: 0 });
});

test("values go where their names say", () => {
  const values = toArray({ jawOpen: 0.5 });
  expect(values[CONTROL_NAMES.indexOf("jawOpen")]).toBe(0.5);
  expect(values.reduce((sum, value) => sum + value)).toBe(0.5);
});

test("labels are words", () => {
  expect(label("mouthSmileLeft")).toBe("Mouth smile left");
});
