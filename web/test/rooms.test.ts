import { describe, expect, test } from "vitest";
import {
  decodePacket,
  encodePacket,
  type Packet,
  quaternionFrom,
  rangeFor,
  vectorOf,
} from "../src/packets";
import { Playout } from "../src/playout";
import type { Range } from "../src/protocol.generated";
import { follow } from "../src/scene";
import { expected, farthest, fixture, random } from "./fixtures";

const range: Range = {
  id: 3,
  centre: [...expected("range.centre")],
  span: [...expected("range.span")],
};

const packet: Packet = {
  range: 3,
  sequence: 65_000,
  milliseconds: 4_000_000_000,
  rotation: [...expected("packet.rotation")],
  translation: [...expected("packet.translation")],
  latent: expected("packet.latent"),
};

test("packets are, byte for byte, Python's", () => {
  expect(new Uint8Array(encodePacket(packet, range))).toEqual(
    new Uint8Array(fixture("packet.bin")),
  );
});

test("packets are read as Python reads them", () => {
  const read = decodePacket(fixture("packet.bin"), range);
  expect(read?.sequence).toBe(65_000);
  expect(read?.milliseconds).toBe(4_000_000_000);
  expect(farthest(read?.latent ?? [], expected("packet.read"))).toBeLessThan(1e-6);
  expect(farthest(read?.rotation ?? [], packet.rotation)).toBeLessThan(1e-4);
  expect(farthest(read?.translation ?? [], packet.translation)).toBeLessThan(3e-4);
});

test("what is no packet of this range is not read", () => {
  const sound = fixture("packet.bin");
  expect(decodePacket(sound.slice(1), range)).toBeNull();
  expect(decodePacket(sound, { ...range, id: 4 })).toBeNull();
  expect(decodePacket(new ArrayBuffer(0), range)).toBeNull();
});

test("a range grows when a latent leaves it, and only then", () => {
  const first = rangeFor(Float32Array.of(1, 2), null);
  expect(rangeFor(Float32Array.of(4, -1), first)).toBe(first);
  const second = rangeFor(Float32Array.of(30, 2), first);
  expect(second.id).toBe(first.id + 1);
  expect(second.centre).toBe(first.centre);
  expect(second.span[0]).toBeGreaterThan(29);
  expect(second.span[1]).toBeGreaterThan(first.span[1]);
  expect(rangeFor(new Float32Array(2), null).span[0]).toBeGreaterThan(0);
});

test("a range is short, however long its numbers are", () => {
  const latent = Float32Array.from({ length: 64 }, (_, d) => Math.sin(d) * 1000);
  expect(JSON.stringify(rangeFor(latent, null)).length).toBeLessThan(900);
});

test("rotations survive as vectors", () => {
  const next = random(5);
  for (let i = 0; i < 200; i++) {
    const vector = [next() - 0.5, next() - 0.5, next() - 0.5].map((v) => v * 3.6);
    if (i === 0) vector.fill(0);
    const { rotation } = follow(quaternionFrom(vector), [0, 0, 1], 1);
    expect(farthest(vectorOf(rotation), vector)).toBeLessThan(1e-6);
  }
});

/** A packet whose one latent says the time. */
function tick(milliseconds: number): Packet {
  const latent = Float32Array.of(milliseconds / 1000);
  return {
    ...packet,
    sequence: 0,
    milliseconds,
    rotation: [0, 0, 0],
    translation: [0, 0, 2.7],
    latent,
  };
}

describe("playing what arrives unevenly", () => {
  /** What is shown each 16 ms when packets are lost and late. */
  function watch(loss: number, jitter: number) {
    const next = random(9);
    const arrivals = Array.from({ length: 250 }, (_, i) => 40 * i)
      .filter(() => next() >= loss)
      .map((sent) => ({ sent, at: sent + 30 + jitter * next() }))
      .sort((a, b) => a.at - b.at);
    const playout = new Playout();
    const shown: { now: number; value: number }[] = [];
    for (let now = 0; now < 9800; now += 16) {
      while (arrivals.length > 0 && arrivals[0].at <= now) {
        const arrival = arrivals.shift();
        if (arrival) playout.push(tick(arrival.sent), arrival.at);
      }
      const moment = playout.at(now);
      if (moment && now > 3000) shown.push({ now, value: 1000 * moment.latent[0] });
    }
    return { shown, delay: playout.delay };
  }

  test("an even stream is shown at once and smoothly", () => {
    const { shown, delay } = watch(0, 0);
    expect(delay).toBeLessThan(40 + 16);
    // The way takes 30 ms; one packet's time is all that is added.
    const lag = shown.map(({ now, value }) => now - value);
    expect(Math.max(...lag)).toBeLessThan(30 + 40 + 17);
  });

  test("5% loss and 100 ms of jitter stay smooth", () => {
    const { shown, delay } = watch(0.05, 100);
    expect(delay).toBeGreaterThan(100);
    expect(delay).toBeLessThan(160);
    const steps = shown.slice(1).map(({ value }, i) => value - shown[i].value);
    // Time never runs back, and hardly ever jumps by more than two packets.
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(-8);
    expect(steps.filter((step) => step > 48).length).toBeLessThan(steps.length * 0.02);
    const still = steps.filter((step) => step < 1).length;
    expect(still).toBeLessThan(steps.length * 0.06);
  });

  test("late, doubled and restarted packets do no harm", () => {
    const playout = new Playout();
    expect(playout.at(0)).toBeNull();
    playout.push(tick(50_000), 0);
    playout.push(tick(50_000), 1);
    playout.push(tick(49_960), 5);
    expect(playout.at(1000)?.latent[0]).toBe(50);
    playout.push(tick(0), 2000);
    expect(playout.at(2030)?.latent[0]).toBe(0);
  });
});
