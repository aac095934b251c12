/**
 * Playing what arrives unevenly: packets are shown a little after they were due, by as much as they
 * have lately come late, and between two packets what lies between them.
 */

import { type Packet, quaternionFrom } from "./packets";
import { PACKETS_PER_SECOND } from "./protocol.generated";

/** What a viewer shows at one moment. */
export interface Moment {
  readonly latent: Float32Array;
  /** wxyz of `cam_from_head`. */
  readonly quat: readonly number[];
  readonly translation: readonly number[];
}

const KEPT = 64;
const MOST_DELAY = 400;

/** Holds the last packets, by the driver's time. All times in milliseconds. */
export class Playout {
  #packets: Packet[] = [];
  /** How much later than the earliest one each of the last packets came, after its own time. */
  #transits: number[] = [];

  /** Take a packet that arrived at `now`; late or doubled ones do no harm. */
  push(packet: Packet, now: number): void {
    const last = this.#packets.at(-1);
    // A driver that starts again counts from zero.
    if (last && packet.milliseconds < last.milliseconds - 10_000) this.clear();
    if (this.#packets.some((known) => known.milliseconds === packet.milliseconds)) return;
    this.#packets.push(packet);
    this.#packets.sort((a, b) => a.milliseconds - b.milliseconds);
    this.#packets = this.#packets.slice(-KEPT);
    this.#transits.push(now - packet.milliseconds);
    this.#transits = this.#transits.slice(-KEPT);
  }

  clear(): void {
    this.#packets = [];
    this.#transits = [];
  }

  /**
   * How long after its own time, at the earliest transit, a packet is shown: as much as they come
   * late, and the time between two, so that there is always one to move towards.
   */
  get delay(): number {
    const spread = Math.max(...this.#transits) - Math.min(...this.#transits);
    return Math.min(MOST_DELAY, spread + 1000 / PACKETS_PER_SECOND);
  }

  /** What to show at `now`; null before the first packet. */
  at(now: number): Moment | null {
    if (this.#packets.length === 0) return null;
    const due = this.#due(now);
    let high = this.#packets.findIndex((packet) => packet.milliseconds >= due);
    if (high < 0) high = this.#packets.length - 1;
    const [a, b] = [this.#packets[Math.max(0, high - 1)], this.#packets[high]];
    const span = b.milliseconds - a.milliseconds;
    const part = span > 0 ? Math.min(1, Math.max(0, (due - a.milliseconds) / span)) : 1;
    const mix = (x: number, y: number) => (1 - part) * x + part * y;
    const [p, q] = [quaternionFrom(a.rotation), quaternionFrom(b.rotation)];
    const sign = p.reduce((sum, value, i) => sum + value * q[i], 0) < 0 ? -1 : 1;
    return {
      latent: a.latent.map((value, d) => mix(value, b.latent[d])),
      quat: p.map((value, i) => mix(value, sign * q[i])),
      translation: a.translation.map((value, i) => mix(value, b.translation[i])),
    };
  }

  #due(now: number): number {
    return now - Math.min(...this.#transits) - this.delay;
  }
}
