/** Baked avatars on the GPU: a texel is a Gaussian, its attributes a weighted sum over layers. */

import { type BakedAvatar, basisWeights } from "./baked";
import { GaussianTarget, type GaussianTextures, OUTPUTS } from "./gaussian_target";
import { arrayTexture, FULL_SCREEN, program, rowsFor, texture, WIDTH } from "./gl";
import { BAKED_ATTRIBUTES as ATTRIBUTES, LARGEST_LOG_SCALE } from "./protocol.generated";

/** Texels of four numbers: position and opacity, scales, rotation, colour. */
const TEXELS = 4;

/** Which attribute each of a Gaussian's numbers is; −1 is none. */
const PLACES = [0, 1, 2, 9, 3, 4, 5, -1, 6, 7, 8, -1, 10, 11, 12, -1];

/** Plays one avatar again and again; the same to use as `GpuDecoder`. */
export class BakedDecoder {
  readonly count: number;
  readonly #gl: WebGL2RenderingContext;
  readonly #avatar: BakedAvatar;
  readonly #target: GaussianTarget;
  readonly #program: WebGLProgram;
  readonly #rest: WebGLTexture;
  readonly #bases: WebGLTexture;

  constructor(gl: WebGL2RenderingContext, avatar: BakedAvatar) {
    this.#gl = gl;
    this.#avatar = avatar;
    this.count = avatar.count;
    this.#target = new GaussianTarget(gl, avatar.count);
    this.#program = program(gl, FULL_SCREEN, shader(avatar.bases));
    this.#rest = restTexture(gl, avatar);
    this.#bases = basesTexture(gl, avatar);
    gl.useProgram(this.#program);
    const steps = PLACES.map((attribute) => avatar.steps[attribute] ?? 0);
    gl.uniform4fv(gl.getUniformLocation(this.#program, "steps"), steps);
    gl.uniform1i(gl.getUniformLocation(this.#program, "rest"), 0);
    gl.uniform1i(gl.getUniformLocation(this.#program, "bases"), 1);
  }

  get textures(): GaussianTextures {
    return this.#target.textures;
  }

  /** Fill the textures with the avatar as it expresses `latent`; gives positions, opacities. */
  run(latent: Float32Array): Promise<Float32Array> {
    const gl = this.#gl;
    gl.useProgram(this.#program);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.#rest);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.#bases);
    const weights = new Float32Array(4 * Math.ceil(this.#avatar.bases / 4));
    weights.set(basisWeights(this.#avatar, latent));
    gl.uniform4fv(gl.getUniformLocation(this.#program, "weights"), weights);
    return this.#target.fill();
  }

  dispose(): void {
    this.#gl.deleteTexture(this.#rest);
    this.#gl.deleteTexture(this.#bases);
    this.#gl.deleteProgram(this.#program);
    this.#target.dispose();
  }
}

function restTexture(gl: WebGL2RenderingContext, { rest, count }: BakedAvatar): WebGLTexture {
  const rows = TEXELS * rowsFor(count);
  const laid = new Float32Array(4 * WIDTH * rows);
  layOut(rest, count, laid);
  const result = texture(gl, gl.RGBA32F, WIDTH, rows);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDTH, rows, gl.RGBA, gl.FLOAT, laid);
  return result;
}

/** A layer for each basis, of whole numbers: nothing is lost. */
function basesTexture(gl: WebGL2RenderingContext, avatar: BakedAvatar): WebGLTexture {
  const { bases, codes, count } = avatar;
  const rows = TEXELS * rowsFor(count);
  const result = arrayTexture(gl, gl.RGBA16I, WIDTH, rows, bases);
  const laid = new Int16Array(4 * WIDTH * rows);
  for (let k = 0; k < bases; k++) {
    const basis = codes.subarray(k * ATTRIBUTES * count, (k + 1) * ATTRIBUTES * count);
    layOut(basis, count, laid);
    const area = [0, 0, k, WIDTH, rows, 1] as const;
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, ...area, gl.RGBA_INTEGER, gl.SHORT, laid);
  }
  return result;
}

/** Attributes (13, N) in the order of a texture: the texels of a row of Gaussians below each other. */
function layOut<T extends Float32Array | Int16Array>(from: T, count: number, into: T): void {
  PLACES.forEach((attribute, c) => {
    if (attribute < 0) return;
    for (let i = 0; i < count; i++) {
      const row = TEXELS * Math.floor(i / WIDTH) + (c >> 2);
      into[4 * (row * WIDTH + (i % WIDTH)) + (c & 3)] = from[attribute * count + i];
    }
  });
}

function shader(bases: number): string {
  return `
uniform highp isampler2DArray bases;
uniform sampler2D rest;
uniform vec4 weights[${Math.ceil(bases / 4)}], steps[${TEXELS}];
${OUTPUTS}

void main() {
  ivec2 at = ivec2(gl_FragCoord.x, int(gl_FragCoord.y) * ${TEXELS});
  vec4 sums[${TEXELS}];
  for (int j = 0; j < ${TEXELS}; j++) sums[j] = vec4(0.0);
  for (int k = 0; k < ${bases}; k++) {
    float weight = weights[k / 4][k % 4];
    for (int j = 0; j < ${TEXELS}; j++) {
      sums[j] += weight * vec4(texelFetch(bases, ivec3(at.x, at.y + j, k), 0));
    }
  }
  for (int j = 0; j < ${TEXELS}; j++) {
    sums[j] = texelFetch(rest, ivec2(at.x, at.y + j), 0) + steps[j] * sums[j];
  }
  float most = float(${LARGEST_LOG_SCALE});
  float angle = length(sums[2].xyz);
  float sine = angle > 1e-6 ? sin(0.5 * angle) / angle : 0.5;
  mean_opacity = vec4(sums[0].xyz, 1.0 / (1.0 + exp(-sums[0].w)));
  quat = vec4(cos(0.5 * angle), sine * sums[2].xyz);
  scale = vec4(exp(clamp(sums[1].xyz, -most, most)), 0.0);
  color = vec4(clamp(sums[3].rgb, 0.0, 1.0), 0.0);
}`;
}
