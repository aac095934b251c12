/** The picture: keeps decoding, sorting and drawing in step with what is asked for. */

import type { Avatar } from "./avatar";
import { type BakedAvatar, isBaked } from "./baked";
import { CpuDecoder } from "./cpu_decode";
import { UnsupportedError } from "./gl";
import { BakedDecoder } from "./gpu_baked";
import { GpuDecoder } from "./gpu_decode";
import type { Networks } from "./networks";
import { type Camera, FRONTAL, orbit } from "./scene";
import type { SortAnswer, SortRequest } from "./sort.worker";
import SortWorker from "./sort.worker?worker&inline";
import { type Background, Renderer } from "./webgl";
import { fits, WebGpuDecoder } from "./webgpu_decode";

type Decoder = WebGpuDecoder | GpuDecoder | BakedDecoder | CpuDecoder;

/** Shows one avatar on a canvas; draws only when something has changed. */
export class Viewer {
  readonly canvas: HTMLCanvasElement;
  readonly #gl: WebGL2RenderingContext;
  readonly #floats: boolean;
  #device: Promise<GPUDevice | null>;
  #shown: { readonly networks: Networks; readonly avatar: Avatar | BakedAvatar } | null = null;
  readonly #renderer: Renderer;
  readonly #sorter = new SortWorker();
  #decoder: Decoder | null = null;
  #latent = new Float32Array(0);
  #camera: Camera = orbit(FRONTAL, 1);
  #background: Background = [0, 0, 0, 1];
  #latentStale = false;
  #orderStale = false;
  #pictureStale = true;
  #advancing: Promise<void> | null = null;
  /** How many changes were asked for, and how many of them are decoded and sorted. */
  #asked = 0;
  #done = 0;
  #waiting: { readonly until: number; readonly resolve: () => void }[] = [];
  /** Times in milliseconds of the last pictures drawn, oldest first. */
  readonly #drawn: number[] = [];

  /**
   * Throws `UnsupportedError` where there is no WebGL2.
   *
   * @param device to decode on, if there is one; WebGL decodes otherwise.
   */
  constructor(canvas: HTMLCanvasElement, device: Promise<GPUDevice | null>) {
    this.canvas = canvas;
    this.#device = device;
    void device.then((found) => found?.lost.then(() => this.#withoutDevice()));
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    if (!gl) throw new UnsupportedError("This browser has no WebGL2, which the viewer needs.");
    this.#gl = gl;
    this.#floats = gl.getExtension("EXT_color_buffer_float") !== null;
    this.#renderer = new Renderer(gl, this.#floats);
    new ResizeObserver(() => this.#resize()).observe(canvas);
    const loop = (now: number) => {
      if (this.#pictureStale) this.#draw(now);
      requestAnimationFrame(loop);
    };
    requestAnimationFrame(loop);
  }

  /** Replace what is shown. */
  async show(networks: Networks, avatar: Avatar | BakedAvatar): Promise<void> {
    this.#shown = { networks, avatar };
    const before = this.#decoder;
    this.#decoder = null;
    await this.#advancing;
    before?.dispose();
    this.#renderer.setOrder(new Uint32Array(0));
    this.#decoder = this.#decoderFor(networks, avatar, await this.#device);
    this.#latent = new Float32Array(0);
    this.express(avatar.sourceLatent);
  }

  #decoderFor(networks: Networks, avatar: Avatar | BakedAvatar, device: GPUDevice | null): Decoder {
    if (!this.#floats) return new CpuDecoder(this.#gl, networks, avatar);
    if (isBaked(avatar)) return new BakedDecoder(this.#gl, avatar);
    if (device && fits(device, avatar)) {
      return new WebGpuDecoder(device, this.#gl, networks, avatar);
    }
    return new GpuDecoder(this.#gl, networks, avatar);
  }

  /** The device is lost: let WebGL go on. */
  async #withoutDevice(): Promise<void> {
    this.#device = Promise.resolve(null);
    if (!this.#shown) return;
    const latent = this.#latent;
    await this.show(this.#shown.networks, this.#shown.avatar);
    this.express(latent);
  }

  express(latent: Float32Array): void {
    // Decoding is by far the longest part of a picture; what is shown already needs none.
    if (equal(latent, this.#latent)) return;
    this.#latent = new Float32Array(latent);
    this.#latentStale = true;
    this.#asked++;
    this.#advance();
  }

  look(camera: Camera): void {
    this.#camera = camera;
    this.#orderStale = true;
    this.#pictureStale = true;
    this.#asked++;
    this.#advance();
  }

  set background(color: Background) {
    this.#background = color;
    this.#pictureStale = true;
  }

  /** What decodes, in a word. */
  get engine(): string {
    if (this.#decoder instanceof WebGpuDecoder) return "WebGPU";
    return this.#decoder instanceof CpuDecoder ? "CPU" : "WebGL";
  }

  get count(): number {
    return this.#decoder?.count ?? 0;
  }

  /** Pictures a second over the last ones, 0 while nothing moves. */
  framesPerSecond(now: number): number {
    const recent = this.#drawn.filter((time) => now - time < 2000);
    if (recent.length < 2) return 0;
    return ((recent.length - 1) * 1000) / (recent[recent.length - 1] - recent[0]);
  }

  /** Resolves once what has been asked for up to now is decoded and sorted. */
  settled(): Promise<void> {
    const until = this.#asked;
    if (!this.#decoder || this.#done >= until) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ until, resolve }));
  }

  /** A square picture as it would look on a canvas of `side` pixels. */
  async snapshot(side: number): Promise<Blob> {
    await this.settled();
    const { canvas } = this;
    const { width, height } = canvas;
    [canvas.width, canvas.height] = [side, side];
    this.#draw(null);
    // Taken in the same task as the drawing, before the browser may clear the canvas.
    const taken = new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
    [canvas.width, canvas.height] = [width, height];
    this.#draw(null);
    const blob = await taken;
    if (!blob) throw new UnsupportedError("The picture could not be saved.");
    return blob;
  }

  /** Decode, then sort, until nothing is stale; one at a time. */
  #advance(): void {
    this.#advancing ??= this.#catchUp().finally(() => {
      this.#advancing = null;
      // Something may have been asked for just after the last look.
      if (this.#decoder && (this.#latentStale || this.#orderStale)) this.#advance();
    });
  }

  async #catchUp(): Promise<void> {
    // Let all changes of this task come together first.
    await Promise.resolve();
    while (this.#decoder && (this.#latentStale || this.#orderStale)) {
      let asked = this.#asked;
      let means: Float32Array | null = null;
      if (this.#latentStale) {
        this.#latentStale = false;
        means = await this.#decoder.run(this.#latent);
      }
      this.#orderStale = false;
      // The sort sees the camera of now; only a newer latent is left for the next round.
      if (!this.#latentStale) asked = this.#asked;
      this.#renderer.setOrder(await this.#sort(means));
      this.#pictureStale = true;
      this.#done = asked;
      for (const { resolve } of this.#waiting.filter(({ until }) => until <= asked)) resolve();
      this.#waiting = this.#waiting.filter(({ until }) => until > asked);
    }
  }

  #sort(means: Float32Array | null): Promise<Uint32Array> {
    const { rotation, translation } = this.#camera;
    const request: SortRequest = {
      means,
      depth: [rotation[6], rotation[7], rotation[8], translation[2]],
    };
    const answer = new Promise<Uint32Array>((resolve) => {
      this.#sorter.onmessage = ({ data }: MessageEvent<SortAnswer>) => resolve(data.order);
    });
    this.#sorter.postMessage(request, means ? [means.buffer] : []);
    return answer;
  }

  /** Draw now; `now` counts towards the frame rate. */
  #draw(now: number | null): void {
    this.#pictureStale = false;
    if (!this.#decoder) return;
    const { width, height } = this.canvas;
    this.#renderer.draw(this.#decoder.textures, this.#camera, [width, height], this.#background);
    if (now === null) return;
    this.#drawn.push(now);
    if (this.#drawn.length > 240) this.#drawn.shift();
  }

  /** Follow the canvas's size on the page, at no more than two pixels a point. */
  #resize(): void {
    const density = Math.min(window.devicePixelRatio || 1, 2);
    const size = (points: number) => Math.min(2048, Math.max(1, Math.round(points * density)));
    [this.canvas.width, this.canvas.height] = [
      size(this.canvas.clientWidth),
      size(this.canvas.clientHeight),
    ];
    this.#pictureStale = true;
  }
}

function equal(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
