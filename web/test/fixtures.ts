import { readFileSync } from "node:fs";
import { floats, parseSafetensors } from "../src/safetensors";

/** A file that `tests/serve/viewer_fixtures.py` made. */
export function fixture(name: string): ArrayBuffer {
  const bytes = readFileSync(new URL(`./fixtures/${name}`, import.meta.url));
  return new Uint8Array(bytes).buffer;
}

const answers = parseSafetensors(fixture("expected.safetensors"));

/** What Python computed under this name. */
export function expected(name: string): Float32Array {
  return floats(answers, name, answers.tensors.get(name)?.shape ?? []);
}

/** The gain of the stand-in network. */
export const GAIN = 0.1;

/** The largest difference between two arrays of the same length. */
export function farthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} numbers against ${b.length}`);
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i] - b[i]));
  return most;
}

/** Numbers in [0, 1) that are the same every time. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
