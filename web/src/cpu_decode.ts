/** For GPUs that cannot draw into float textures: decoding in a worker, by `decode.ts`. */

import type { Avatar } from "./avatar";
import type { BakedAvatar } from "./baked";
import type { Gaussians } from "./decode";
import DecodeWorker from "./decode.worker?worker&inline";
import type { GaussianTextures } from "./gaussian_target";
import { rowsFor, texture, WIDTH } from "./gl";
import type { Networks } from "./networks";

/** Decodes one avatar again and again; the same to use as `GpuDecoder`. */
export class CpuDecoder {
  readonly textures: GaussianTextures;
  readonly count: number;
  readonly #gl: WebGL2RenderingContext;
  readonly #worker = new DecodeWorker();

  constructor(gl: WebGL2RenderingContext, networks: Networks, avatar: Avatar | BakedAvatar) {
    this.#gl = gl;
    this.count = avatar.count;
    const make = () => texture(gl, gl.RGBA32F, WIDTH, rowsFor(avatar.count));
    this.textures = { means: make(), quats: make(), scales: make(), colors: make() };
    this.#worker.postMessage({ networks, avatar });
  }

  /** Fill the textures with the avatar as it expresses `latent`; gives positions, opacities. */
  async run(latent: Float32Array): Promise<Float32Array> {
    const answer = new Promise<Gaussians>((resolve) => {
      this.#worker.onmessage = ({ data }: MessageEvent<Gaussians>) => resolve(data);
    });
    this.#worker.postMessage({ latent });
    const gaussians = await answer;
    const gl = this.#gl;
    const rows = rowsFor(this.count);
    for (const name of ["means", "quats", "scales", "colors"] as const) {
      const laid = new Float32Array(4 * WIDTH * rows);
      laid.set(gaussians[name]);
      gl.bindTexture(gl.TEXTURE_2D, this.textures[name]);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDTH, rows, gl.RGBA, gl.FLOAT, laid);
    }
    return gaussians.means;
  }

  dispose(): void {
    this.#worker.terminate();
    for (const value of Object.values(this.textures)) this.#gl.deleteTexture(value);
  }
}
