import { describe, expect, test } from "vitest";
import { readAvatar } from "../src/avatar";
import { decode, expressionLandmarks, Puppet } from "../src/decode";
import { readNetworks } from "../src/networks";
import { expected, farthest, fixture, GAIN } from "./fixtures";

const networks = readNetworks(fixture("networks.safetensors"), GAIN);

test("controls move landmarks as in Python", () => {
  const landmarks = expressionLandmarks(networks.controls, expected("values"));
  // Half precision, in which the page gets them, is good for 1/8000 of a unit.
  expect(farthest(landmarks, expected("landmarks"))).toBeLessThan(2e-4);
});

describe.each(["anchored", "free"])("an avatar that is %s", async (kind) => {
  const avatar = await readAvatar(fixture(`${kind}.mien`));

  test("is read as Python reads it", () => {
    expect(farthest(avatar.features, expected(`${kind}.features`))).toBeLessThan(1e-6);
  });

  test("is told the same latent", () => {
    const latent = new Puppet(networks).latent(avatar, expected("values"));
    expect(farthest(latent, expected(`${kind}.latent`))).toBeLessThan(0.02);
    expect(farthest(latent, avatar.sourceLatent)).toBeGreaterThan(0.2);
  });

  test("shows the photo's expression at zero", () => {
    const latent = new Puppet(networks).latent(avatar, new Float32Array(51));
    expect(farthest(latent, avatar.sourceLatent)).toBe(0);
  });

  test("decodes to the same Gaussians", () => {
    const gaussians = decode(networks, avatar, expected(`${kind}.latent`));
    for (const name of ["means", "quats", "scales", "colors"] as const) {
      expect(farthest(gaussians[name], expected(`${kind}.${name}`))).toBeLessThan(2e-5);
    }
  });

  test("moves", () => {
    const still = decode(networks, avatar, avatar.sourceLatent);
    expect(farthest(still.means, expected(`${kind}.means`))).toBeGreaterThan(1e-3);
  });
});
