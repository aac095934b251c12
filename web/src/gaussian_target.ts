/** Where a shader puts Gaussians, one a texel, for the renderer to draw. */

import { framebuffer, rowsFor, texture, WIDTH } from "./gl";

/** Textures of what the renderer draws; see `Gaussians` in `decode.ts`. */
export interface GaussianTextures {
  readonly means: WebGLTexture;
  readonly quats: WebGLTexture;
  readonly scales: WebGLTexture;
  readonly colors: WebGLTexture;
}

/** What a decoding shader declares, in the order of the textures. */
export const OUTPUTS = `
layout(location = 0) out vec4 mean_opacity;
layout(location = 1) out vec4 quat;
layout(location = 2) out vec4 scale;
layout(location = 3) out vec4 color;`;

/** Float textures that are drawn into. */
export class GaussianTarget {
  readonly textures: GaussianTextures;
  readonly #gl: WebGL2RenderingContext;
  readonly #count: number;
  readonly #framebuffer: WebGLFramebuffer;

  constructor(gl: WebGL2RenderingContext, count: number) {
    this.#gl = gl;
    this.#count = count;
    const make = () => texture(gl, gl.RGBA32F, WIDTH, rowsFor(count));
    this.textures = { means: make(), quats: make(), scales: make(), colors: make() };
    this.#framebuffer = framebuffer(gl, Object.values(this.textures));
  }

  /** Run the program in use, whose inputs are set, on every texel; gives positions, opacities. */
  fill(): Promise<Float32Array> {
    const gl = this.#gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#framebuffer);
    gl.viewport(0, 0, WIDTH, rowsFor(this.#count));
    gl.disable(gl.BLEND);
    gl.bindVertexArray(null);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    return this.#readMeans();
  }

  /** (N, 4) as last filled; waits for the GPU without blocking. */
  async #readMeans(): Promise<Float32Array> {
    const gl = this.#gl;
    const rows = rowsFor(this.#count);
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
    gl.bufferData(gl.PIXEL_PACK_BUFFER, 16 * WIDTH * rows, gl.STREAM_READ);
    gl.readBuffer(gl.COLOR_ATTACHMENT0);
    gl.readPixels(0, 0, WIDTH, rows, gl.RGBA, gl.FLOAT, 0);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    await finished(gl);
    const means = new Float32Array(4 * this.#count);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
    gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, 0, means);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    gl.deleteBuffer(buffer);
    return means;
  }

  dispose(): void {
    for (const value of Object.values(this.textures)) this.#gl.deleteTexture(value);
    this.#gl.deleteFramebuffer(this.#framebuffer);
  }
}

/** Resolves when the GPU has done all that it was told so far. */
async function finished(gl: WebGL2RenderingContext): Promise<void> {
  const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
  if (!fence) return;
  gl.flush();
  while (!gl.isContextLost() && gl.clientWaitSync(fence, 0, 0) === gl.TIMEOUT_EXPIRED) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  gl.deleteSync(fence);
}
