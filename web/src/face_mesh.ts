/** Asking the face mesh's worker what it sees. */

import type { Answer, Request } from "./face_mesh.worker";

/** One face, followed from picture to picture. */
export class FaceTracker {
  readonly #worker: Worker;
  /** The worker answers one question at a time. */
  #before: Promise<unknown> = Promise.resolve();

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** Load the models; rejects where they cannot run. */
  static async start(): Promise<FaceTracker> {
    const worker = new Worker(new URL("./face_mesh.worker.ts", import.meta.url));
    try {
      await answer(worker);
    } catch (error) {
      worker.terminate();
      throw error;
    }
    return new FaceTracker(worker);
  }

  /** (478, 3) landmarks in pixels, or null where no face is seen. */
  track(picture: ImageBitmap, mirrored: boolean): Promise<Float32Array | null> {
    const found = this.#before.then(async () => {
      const request: Request = { picture, mirrored };
      this.#worker.postMessage(request, [picture]);
      const said = await answer(this.#worker);
      return "landmarks" in said ? said.landmarks : null;
    });
    this.#before = found.catch(() => undefined);
    return found;
  }

  close(): void {
    this.#worker.terminate();
  }
}

function answer(worker: Worker): Promise<Exclude<Answer, { error: string }>> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`The face tracker cannot run here: ${why}`));
    worker.onmessage = ({ data }: MessageEvent<Answer>) =>
      "error" in data ? fail(data.error) : resolve(data);
    worker.onerror = (event) => fail(event.message || "its files cannot be loaded");
  });
}
