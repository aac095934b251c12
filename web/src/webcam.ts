/** The panel that lets the face before the camera move the avatar. */

import type { Head } from "./avatar";
import { FaceDriver } from "./face_driver";
import { FaceTracker } from "./face_mesh";
import type { Networks } from "./networks";
import { attempt, byId } from "./page";
import type { Camera } from "./scene";

/** Milliseconds without a face after which the person is told. */
const PATIENCE = 1500;

const NEEDS: Readonly<Record<string, string>> = {
  NotAllowedError:
    "The camera is not allowed to be used: allow it for this page, beside the address, and start again.",
  NotFoundError: "No camera was found; plug one in and start again.",
  NotReadableError: "Another program uses the camera; close it and start again.",
};

/** Runs the camera from the button that starts it to the one that stops it. */
export class Webcam {
  avatar: Head | null = null;
  readonly #networks: Networks;
  readonly #show: (latent: Float32Array, camera: Camera | null) => void;
  readonly #button = byId<HTMLButtonElement>("camera");
  readonly #video = byId<HTMLVideoElement>("camera-picture");
  readonly #said = byId("camera-says");
  #tracker: FaceTracker | null = null;
  #driver: FaceDriver | null = null;
  #stream: MediaStream | null = null;
  #faceSeen = 0;

  /** @param show told the latent and, where the head follows, the camera. */
  constructor(networks: Networks, show: (latent: Float32Array, camera: Camera | null) => void) {
    this.#networks = networks;
    this.#show = show;
    byId("webcam").hidden = false;
    this.#button.onclick = () => (this.#stream ? this.stop() : attempt(() => this.#start()));
    byId("rest").onclick = () => this.#driver?.rest();
  }

  stop(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
    this.#tellState();
  }

  /** The camera went away by itself. */
  #taken(): void {
    this.stop();
    this.#said.textContent = "The camera has gone; plug it in, or allow it again, and start it.";
  }

  async #start(): Promise<void> {
    this.#button.disabled = true;
    try {
      const stream = await openCamera();
      this.#stream = stream;
      for (const track of stream.getTracks()) track.onended = () => this.#taken();
      this.#video.srcObject = stream;
      this.#tellState();
      this.#said.textContent = "The face tracker is loading…";
      await this.#video.play();
      this.#tracker ??= await FaceTracker.start();
      this.#driver = new FaceDriver(this.#networks);
      this.#faceSeen = performance.now();
      void attempt(() => this.#follow(stream).catch((error) => this.#fail(error)));
    } catch (error) {
      this.stop();
      throw error;
    } finally {
      this.#button.disabled = false;
    }
  }

  /** The tracker is of no use any more; the next start gets another. */
  #fail(error: unknown): never {
    this.stop();
    this.#tracker?.close();
    this.#tracker = null;
    throw error;
  }

  /** Picture after picture, as fast as the tracker is, until this stream is stopped. */
  async #follow(stream: MediaStream): Promise<void> {
    while (this.#stream === stream) {
      await nextPicture(this.#video);
      if (this.#stream !== stream || !this.#tracker) return;
      const now = performance.now();
      const picture = await createImageBitmap(this.#video);
      const mirrored = byId<HTMLInputElement>("mirror").checked;
      const landmarks = await this.#tracker.track(picture, mirrored);
      if (this.#stream !== stream) return;
      this.#tellFace(landmarks !== null, now);
      if (landmarks) this.#drive(landmarks, now / 1000);
    }
  }

  #drive(landmarks: Float32Array, seconds: number): void {
    if (!this.avatar || !this.#driver) return;
    const { latent, camera } = this.#driver.drive(this.avatar, landmarks, seconds);
    this.#show(latent, byId<HTMLInputElement>("turn-along").checked ? camera : null);
  }

  #tellFace(seen: boolean, now: number): void {
    if (seen) this.#faceSeen = now;
    const missed = now - this.#faceSeen > PATIENCE;
    this.#said.textContent = missed ? "No face is seen: look at the camera, in good light." : "";
    document.body.dataset.face = String(seen);
  }

  #tellState(): void {
    const running = this.#stream !== null;
    this.#button.textContent = running ? "Stop camera" : "Start camera";
    this.#button.setAttribute("aria-pressed", String(running));
    this.#video.hidden = !running;
    byId("rest").hidden = !running;
    this.#said.textContent = "";
  }
}

async function openCamera(): Promise<MediaStream> {
  // Browsers hide it from pages that came over an open network.
  if (!navigator.mediaDevices) {
    throw new Error("The camera works only on this machine's own address, or over https.");
  }
  try {
    const video = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
    return await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    throw new Error(NEEDS[name] ?? `The camera cannot be used: ${error}`);
  }
}

/** Resolves when the video shows a new picture. */
function nextPicture(video: HTMLVideoElement): Promise<unknown> {
  return new Promise((resolve) => {
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}
