import { describe, expect, test } from "vitest";
import { readAvatar } from "../src/avatar";
import { FaceDriver } from "../src/face_driver";
import { readNetworks } from "../src/networks";
import { RADIUS } from "../src/protocol.generated";
import { floats, parseSafetensors } from "../src/safetensors";
import { OneEuro } from "../src/smooth";
import { expected, farthest, fixture, GAIN, random } from "./fixtures";

const networks = readNetworks(fixture("networks.safetensors"), GAIN);
const pixels = floats(parseSafetensors(fixture("landmarks.safetensors")), "pixels", [3, 478, 3]);
const avatar = await readAvatar(fixture("anchored.mien"));

describe("a face before the camera", () => {
  test("is seen centred at first, and drives as in Python", () => {
    const driven = new FaceDriver(networks).drive(avatar, pixels.subarray(0, 1434), 0);
    const size = avatar.sourceLatent.length;
    expect(farthest(driven.latent, expected("face.latents").subarray(0, size))).toBeLessThan(0.02);
    expect(farthest(driven.camera.translation, [0, 0, RADIUS])).toBeLessThan(1e-6);
    expect(driven.camera.focal).toBe(avatar.focal);
  });

  test("at rest, shows the photo's own expression", () => {
    const driver = new FaceDriver(networks);
    driver.drive(avatar, pixels.subarray(0, 1434), 0);
    driver.rest();
    const { latent } = driver.drive(avatar, pixels.subarray(0, 1434), 0.04);
    expect(farthest(latent, avatar.sourceLatent)).toBeLessThan(1e-5);
  });

  test("that was away is followed at once when it comes back", () => {
    const late = new FaceDriver(networks);
    late.drive(avatar, pixels.subarray(0, 1434), 0);
    const back = late.drive(avatar, pixels.subarray(1434, 2868), 5);
    const soon = new FaceDriver(networks);
    soon.drive(avatar, pixels.subarray(0, 1434), 0);
    const calmed = soon.drive(avatar, pixels.subarray(1434, 2868), 0.01);
    const wanted = expected("face.cam_from_head");
    const depth = wanted[16 + 11];
    expect(back.camera.translation[2]).toBeCloseTo(depth, 2);
    expect(Math.abs(calmed.camera.translation[2] - depth)).toBeGreaterThan(0.05);
  });
});

describe("calming", () => {
  test("takes most of the noise from what is still", () => {
    const next = random(3);
    const filter = new OneEuro();
    const [raw, calm]: number[][] = [[], []];
    for (let t = 0; t < 100; t++) {
      const value = 0.002 * (next() - 0.5);
      raw.push(value);
      calm.push(filter.next(Float32Array.of(value), t / 30)[0]);
    }
    const power = (values: number[]) => values.slice(20).reduce((sum, v) => sum + v * v, 0);
    expect(power(calm)).toBeLessThan(0.4 * power(raw));
  });

  test("keeps up with what moves", () => {
    const filter = new OneEuro();
    let [last, at] = [0, 0];
    // An eyelid: a twentieth of a unit in a tenth of a second.
    for (let t = 0; t <= 6; t++) {
      at = 0.05 * Math.min(1, t / 3);
      last = filter.next(Float32Array.of(at), t / 30)[0];
    }
    expect(last).toBeGreaterThan(0.9 * at);
  });
});
