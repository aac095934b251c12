/** Saving pictures and videos of what is seen. */

/** Offer a file to the person. */
export function save(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Records a canvas to WebM from construction until `stop`. */
export class Recording {
  readonly #recorder: MediaRecorder;
  readonly #parts: Blob[] = [];

  constructor(canvas: HTMLCanvasElement) {
    const kinds = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];
    const mimeType = kinds.find((kind) => MediaRecorder.isTypeSupported(kind));
    if (!mimeType) throw new Error("This browser cannot record WebM.");
    this.#recorder = new MediaRecorder(canvas.captureStream(30), {
      mimeType,
      videoBitsPerSecond: 8_000_000,
    });
    this.#recorder.ondataavailable = ({ data }) => this.#parts.push(data);
    this.#recorder.start(1000);
  }

  async stop(): Promise<Blob> {
    await new Promise<void>((resolve) => {
      this.#recorder.onstop = () => resolve();
      this.#recorder.stop();
    });
    for (const track of this.#recorder.stream.getTracks()) track.stop();
    return new Blob(this.#parts, { type: "video/webm" });
  }
}
