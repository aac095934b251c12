/** A room's socket: joins with the link's token, then drives or watches. */

import { decodePacket, encodePacket, type Packet, rangeFor, vectorOf } from "./packets";
import { Playout } from "./playout";
import {
  type Join,
  PACKETS_PER_SECOND,
  type Range,
  ROOM_PATH,
  type Welcome,
} from "./protocol.generated";
import type { Camera } from "./scene";

/** The token in the page's link, if it leads to a room. */
export function roomToken(): string | null {
  const token = location.hash.slice(1);
  return /^[\w-]{16,64}$/.test(token) ? token : null;
}

/** Join; resolves with the open socket and the room's welcome. */
export async function join(token: string): Promise<{ socket: WebSocket; welcome: Welcome }> {
  const url = new URL(ROOM_PATH, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(JSON.stringify({ token } satisfies Join));
  const welcome = await new Promise<Welcome>((resolve, reject) => {
    socket.onmessage = ({ data }: MessageEvent<string>) => resolve(JSON.parse(data));
    socket.onclose = () => reject(new Error("The room refuses this link, or has ended."));
  });
  return { socket, welcome };
}

/** Sends what the driver's page shows, at most `PACKETS_PER_SECOND` times a second. */
export class Driver {
  readonly #socket: WebSocket;
  readonly #start = performance.now();
  #range: Range | null = null;
  #sequence = 0;
  #latest: { latent: Float32Array; camera: Camera } | null = null;
  #stale = false;
  #quiet = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    const timer = setInterval(() => this.#tick(), 1000 / PACKETS_PER_SECOND);
    socket.addEventListener("close", () => clearInterval(timer));
  }

  say(latent: Float32Array, camera: Camera): void {
    this.#latest = { latent, camera };
    this.#stale = true;
  }

  /** Send what is new; once a second also what is not. */
  #tick(): void {
    this.#quiet++;
    if (!this.#latest || (!this.#stale && this.#quiet < PACKETS_PER_SECOND)) return;
    this.#stale = false;
    this.#quiet = 0;
    const { latent, camera } = this.#latest;
    const range = rangeFor(latent, this.#range);
    if (range !== this.#range) {
      this.#range = range;
      this.#socket.send(JSON.stringify(range));
    }
    const packet: Packet = {
      range: range.id,
      sequence: this.#sequence++,
      milliseconds: Math.round(performance.now() - this.#start),
      rotation: vectorOf(camera.rotation),
      translation: camera.translation,
      latent,
    };
    this.#socket.send(encodePacket(packet, range));
  }
}

/** Receives packets; ask `playout` what to show. */
export class Watcher {
  readonly playout = new Playout();
  #range: Range | null = null;
  #received = 0;
  readonly #since = performance.now();

  constructor(socket: WebSocket) {
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === "string") {
        this.#range = JSON.parse(data);
        return;
      }
      this.#received += data.byteLength;
      const packet = this.#range && decodePacket(data, this.#range);
      if (packet) this.playout.push(packet, performance.now());
    };
  }

  /** Bits a second since joining. */
  get rate(): number {
    return (8000 * this.#received) / Math.max(performance.now() - this.#since, 1000);
  }
}
