/** The panel that plays takes. */

import type { Head, Take } from "./avatar";
import { attempt, byId, element } from "./page";
import type { Asset } from "./protocol.generated";
import type { Camera } from "./scene";
import { cameraAt, duration, latentAt, medianLatent } from "./take";

/** Plays one take at a time on an avatar, in a loop. */
export class TakePlayer {
  avatar: Head | null = null;
  readonly #takes: Asset[];
  readonly #fetch: (asset: Asset) => Promise<Take>;
  readonly #show: (latent: Float32Array, camera: Camera | null) => void;
  readonly #loaded = new Map<string, { take: Take; median: Float32Array }>();
  readonly #seek = byId<HTMLInputElement>("seek");
  readonly #button = byId<HTMLButtonElement>("play");
  #playing = false;
  #presenting: Promise<void> = Promise.resolve();

  /**
   * @param show told the latent and, where the head follows the driver's pose, the camera.
   */
  constructor(
    takes: readonly Asset[],
    fetch: (asset: Asset) => Promise<Take>,
    show: (latent: Float32Array, camera: Camera | null) => void,
  ) {
    this.#takes = [...takes];
    this.#fetch = fetch;
    this.#show = show;
    this.#list();
    this.#button.onclick = () => this.toggle();
    byId("take").onchange = () => this.stop();
    this.#seek.oninput = () => {
      this.stop();
      this.#presenting = attempt(() => this.#present());
    };
  }

  /** Offer one more take, choose it and play it. */
  add(name: string, take: Take): void {
    this.stop();
    const asset = { url: `dropped:${this.#takes.length}`, name, bytes: 0 };
    this.#takes.push(asset);
    this.#loaded.set(asset.url, { take, median: medianLatent(take) });
    this.#list();
    byId<HTMLSelectElement>("take").value = String(this.#takes.length - 1);
    this.#seek.value = "0";
    this.toggle();
  }

  #list(): void {
    byId("takes").hidden = this.#takes.length === 0;
    byId("take").replaceChildren(
      ...this.#takes.map((asset, i) => element("option", { value: String(i) }, asset.name)),
    );
  }

  toggle(): void {
    if (this.#playing) this.stop();
    else if (this.#takes.length > 0) attempt(() => this.#play());
  }

  /** Resolves once the moment that was sought is told to the picture. */
  settled(): Promise<void> {
    return this.#presenting;
  }

  stop(): void {
    this.#playing = false;
    this.#button.textContent = "Play";
  }

  async #play(): Promise<void> {
    const length = duration((await this.#current()).take);
    this.#playing = true;
    this.#button.textContent = "Pause";
    let before = performance.now();
    const step = async (now: number) => {
      if (!this.#playing) return;
      const at = this.#seek.valueAsNumber + (now - before) / 1000 / Math.max(length, 1e-3);
      before = now;
      this.#seek.value = String(at % 1);
      await this.#present();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  async #present(): Promise<void> {
    const { take, median } = await this.#current();
    if (!this.avatar) return;
    const seconds = this.#seek.valueAsNumber * duration(take);
    const relative = byId<HTMLInputElement>("relative").checked ? median : null;
    const latent = latentAt(take, seconds, this.avatar.sourceLatent, relative);
    const follows = byId<HTMLInputElement>("pose").checked;
    this.#show(latent, follows ? cameraAt(take, seconds, this.avatar.focal) : null);
  }

  async #current(): Promise<{ take: Take; median: Float32Array }> {
    const asset = this.#takes[Number(byId<HTMLSelectElement>("take").value)];
    let known = this.#loaded.get(asset.url);
    if (!known) {
      const take = await this.#fetch(asset);
      known = { take, median: medianLatent(take) };
      this.#loaded.set(asset.url, known);
    }
    return known;
  }
}
