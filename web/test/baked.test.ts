import { deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { basisWeights, isBaked, playBaked, readAnyAvatar } from "../src/baked";
import { BAKED_ATTRIBUTES as ATTRIBUTES } from "../src/protocol.generated";
import { expected, farthest, fixture, random } from "./fixtures";

const [COUNT, BASES, LATENT, HIDDEN] = [5, 3, 4, 6];

type Parts = Record<string, { dtype: string; shape: number[]; data: Uint8Array }>;

/** A safetensors file of these tensors. */
function file(parts: Parts, metadata: Record<string, string>): ArrayBuffer {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(parts)) {
    header[name] = { dtype, shape, data_offsets: [at, at + data.length] };
    at += data.length;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + at);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  let end = 8 + text.length;
  for (const { data } of Object.values(parts)) {
    bytes.set(data, end);
    end += data.length;
  }
  return bytes.buffer;
}

function numbers(values: ArrayLike<number>, ...shape: number[]) {
  return { dtype: "F32", shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}

function codes(values: readonly number[]) {
  const words = values.map((value) => (value + 128) & 0xffff);
  const data = deflateSync(
    Uint8Array.from([...words.map((w) => w & 255), ...words.map((w) => w >> 8)]),
  );
  return { dtype: "U8", shape: [data.length], data: new Uint8Array(data) };
}

const next = random(11);
const some = (size: number, scale: number) =>
  Float32Array.from({ length: size }, () => scale * (next() - 0.5));
const whole = (size: number, most: number) =>
  Array.from({ length: size }, () => Math.round(2 * most * (next() - 0.5)));

const REST = whole(ATTRIBUTES * COUNT, 300);
const DELTAS = whole(BASES * ATTRIBUTES * COUNT, 200);
const STEPS = some(ATTRIBUTES, 0.01).map((value) => Math.abs(value) + 0.001);
const OFFSETS = some(ATTRIBUTES, 1);
const MAP = {
  hiddenWeight: some(HIDDEN * LATENT, 2),
  hiddenBias: some(HIDDEN, 2),
  outWeight: some(BASES * HIDDEN, 2),
  outBias: some(BASES, 1),
  linear: some(BASES * LATENT, 2),
};

function parts(): Parts {
  return {
    source_latent: numbers([0.1, -0.2, 0.3, 0.4], LATENT),
    intrinsics: numbers([3.4, 0, 0.5, 0, 3.4, 0.5, 0, 0, 1], 3, 3),
    "rest.codes": codes(REST),
    "rest.step": numbers(STEPS, ATTRIBUTES),
    "rest.offset": numbers(OFFSETS, ATTRIBUTES),
    "bases.codes": codes(DELTAS),
    "bases.step": numbers(STEPS, ATTRIBUTES),
    "map.hidden.weight": numbers(MAP.hiddenWeight, HIDDEN, LATENT),
    "map.hidden.bias": numbers(MAP.hiddenBias, HIDDEN),
    "map.out.weight": numbers(MAP.outWeight, BASES, HIDDEN),
    "map.out.bias": numbers(MAP.outBias, BASES),
    "map.linear": numbers(MAP.linear, BASES, LATENT),
  };
}

const HEADER = {
  format: "mien.baked",
  schema: "1",
  preset: "stand-in",
  gaussians: String(COUNT),
  provenance: "{}",
};

async function baked(changed: Partial<Parts> = {}, header: Record<string, string> = {}) {
  const avatar = await readAnyAvatar(
    file({ ...parts(), ...changed } as Parts, { ...HEADER, ...header }),
  );
  if (!isBaked(avatar)) throw new TypeError("not baked");
  return avatar;
}

describe("a baked avatar", () => {
  test("is told from others by its header", async () => {
    expect(isBaked(await baked())).toBe(true);
    expect(isBaked(await readAnyAvatar(fixture("anchored.mien")))).toBe(false);
  });

  test("keeps its numbers, also those that need two bytes", async () => {
    const avatar = await baked();
    expect(Array.from(avatar.codes)).toEqual(DELTAS);
    const wanted = REST.map((code, at) => {
      const attribute = Math.floor(at / COUNT);
      return code * STEPS[attribute] + OFFSETS[attribute];
    });
    expect(farthest(avatar.rest, wanted)).toBeLessThan(1e-5);
  });

  test("is played as Python plays it", async () => {
    const avatar = await readAnyAvatar(fixture("baked.mien"));
    if (!isBaked(avatar)) throw new TypeError("not baked");
    const latent = expected("free.latent");
    expect(farthest(basisWeights(avatar, latent), expected("baked.weights"))).toBeLessThan(1e-5);
    const gaussians = playBaked(avatar, latent);
    for (const name of ["means", "quats", "scales", "colors"] as const) {
      expect(farthest(gaussians[name], expected(`baked.${name}`))).toBeLessThan(2e-5);
    }
    const still = playBaked(avatar, avatar.sourceLatent);
    expect(farthest(gaussians.means, still.means)).toBeGreaterThan(1e-3);
  });
});

describe("a baked avatar that lies is refused", () => {
  const short = codes(REST.slice(1));
  test.each<[string, Partial<Parts>, Record<string, string>]>([
    ["too few", { "rest.codes": short }, {}],
    ["too few", {}, { gaussians: "4000000" }],
    ["malformed", {}, { gaussians: "4000001" }],
    ["too many bases", { "map.out.bias": numbers(new Float32Array(257), 257) }, {}],
    ["too many bases", { "map.hidden.bias": numbers(new Float32Array(4097), 4097) }, {}],
    ["wrong shape", { "map.linear": numbers(new Float32Array(8), 2, LATENT) }, {}],
    [
      "not finite",
      {
        "rest.offset": numbers(
          OFFSETS.map(() => Number.NaN),
          ATTRIBUTES,
        ),
      },
      {},
    ],
    ["newer version", {}, { schema: "2" }],
  ])("%s", async (why, changed, header) => {
    await expect(baked(changed, header)).rejects.toThrow(why);
  });
});
