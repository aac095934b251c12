import { describe, expect, test } from "vitest";
import { inflate, readAvatar, readTake } from "../src/avatar";
import { toHalf } from "../src/half";
import { readNetworks } from "../src/networks";
import { FormatError, fromHalf, parseSafetensors } from "../src/safetensors";
import { fixture, random } from "./fixtures";

/** A file with this header and so many bytes of data. */
function file(header: unknown, dataBytes: number, length?: bigint): ArrayBuffer {
  const text = new TextEncoder().encode(
    typeof header === "string" ? header : JSON.stringify(header),
  );
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes.buffer;
}

const tensor = (
  low: number,
  high: number,
  shape: unknown = [high - low],
  dtype: unknown = "U8",
) => ({
  dtype,
  shape,
  data_offsets: [low, high],
});

test("reads what is sound", () => {
  const { tensors, metadata } = parseSafetensors(
    file({ __metadata__: { a: "b" }, y: tensor(4, 6), x: tensor(0, 4) }, 6),
  );
  expect(metadata.get("a")).toBe("b");
  expect(tensors.get("y")?.bytes.length).toBe(2);
});

describe.each<[string, ArrayBuffer]>([
  ["nothing", new ArrayBuffer(0)],
  ["a length beyond the file", file({}, 0, 2n ** 63n)],
  ["no JSON", file("{{", 0)],
  ["a list", file("[]", 0)],
  ["null", file("null", 0)],
  ["a tensor that is a number", file({ x: 3 }, 0)],
  ["an unknown kind", file({ x: tensor(0, 4, [4], "toString") }, 4)],
  ["a negative side", file({ x: tensor(0, 4, [-4]) }, 4)],
  ["a fractional side", file({ x: tensor(0, 4, [0.5, 8]) }, 4)],
  ["sides whose product overflows", file({ x: tensor(0, 4, [2 ** 27, 2 ** 27, 2 ** 27]) }, 4)],
  ["too many axes", file({ x: tensor(0, 1, Array(9).fill(1)) }, 1)],
  ["data beyond the end", file({ x: tensor(0, 9) }, 4)],
  ["an offset before the start", file({ x: tensor(-4, 0) }, 4)],
  ["a shape that lies", file({ x: tensor(0, 4, [5]) }, 4)],
  ["overlapping tensors", file({ x: tensor(0, 4), y: tensor(2, 6) }, 6)],
  ["a hole", file({ x: tensor(0, 2), y: tensor(4, 6) }, 6)],
  ["data without a name", file({ x: tensor(0, 2) }, 6)],
  ["metadata that is no text", file({ __metadata__: { a: 1 } }, 0)],
])("a file with %s", (_, content) => {
  test("is refused", () => {
    expect(() => parseSafetensors(content)).toThrow(FormatError);
  });
});

const READERS: [string, (buffer: ArrayBuffer) => unknown][] = [
  ["anchored.mien", readAvatar],
  ["take.motion", readTake],
  ["networks.safetensors", (buffer) => readNetworks(buffer, 0.1)],
];

test.each(READERS)("damaged %s is refused or read, never anything else", async (name, read) => {
  const sound = new Uint8Array(fixture(name));
  const header = Number(new DataView(sound.buffer).getBigUint64(0, true)) + 8;
  const next = random(11);
  let refused = 0;
  for (let round = 0; round < 60; round++) {
    const bytes = sound.slice(0, next() < 0.3 ? Math.floor(next() * sound.length) : undefined);
    const within = next() < 0.7 ? header : bytes.length;
    for (let i = 0; i < 4; i++) bytes[Math.floor(next() * within)] = Math.floor(next() * 256);
    try {
      await read(bytes.buffer);
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(20);
});

test("a file of another kind is refused", async () => {
  await expect(readAvatar(fixture("take.motion"))).rejects.toThrow(FormatError);
});

test("inflating stops where it should", async () => {
  const stream = new Blob([new Uint8Array(100_000)]).stream();
  const packed = stream.pipeThrough(new CompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  expect((await inflate(bytes, 100_000)).length).toBe(100_000);
  await expect(inflate(bytes, 99_999)).rejects.toThrow(FormatError);
  await expect(inflate(bytes, 100_001)).rejects.toThrow(FormatError);
  await expect(inflate(bytes.slice(0, 50), 100_000)).rejects.toThrow(FormatError);
});

test("half precision goes there and back", () => {
  for (let bits = 0; bits < 0x7c00; bits++) expect(toHalf(fromHalf(bits))).toBe(bits);
  expect(fromHalf(toHalf(-0.1))).toBeCloseTo(-0.1, 4);
  expect(toHalf(1e9)).toBe(0x7c00);
  expect(toHalf(Number.NaN)).toBe(0x7e00);
  expect(toHalf(1 + 2 ** -11)).toBe(toHalf(1));
});
