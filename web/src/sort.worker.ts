/** Sorts off the main thread: keeps the latest positions, answers each camera with an order. */

import { backToFront } from "./sort";

export interface SortRequest {
  /** New positions and opacities (N, 4); null when they have not changed. */
  readonly means: Float32Array | null;
  /** (4,) plane of depth. */
  readonly depth: readonly number[];
}

export interface SortAnswer {
  readonly order: Uint32Array;
}

let means: Float32Array = new Float32Array(0);

self.onmessage = ({ data }: MessageEvent<SortRequest>) => {
  if (data.means) means = data.means;
  const answer: SortAnswer = { order: backToFront(means, data.depth) };
  self.postMessage(answer, { transfer: [answer.order.buffer] });
};
