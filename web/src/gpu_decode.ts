/**
 * Fusion and decoder as one fragment shader: a texel is a Gaussian. Gives what `decode.ts` gives,
 * but for the half precision of weights and features.
 *
 * `fusion.proj` is folded into the layer after it and the gain into the layer before the sum; the
 * basis is normalised once, when the avatar is loaded.
 */

import type { Avatar } from "./avatar";
import { modulation, normalise } from "./decode";
import { bindTextures, FULL_SCREEN, framebuffer, program, rowsFor, texture, WIDTH } from "./gl";
import { toHalf } from "./half";
import type { Linear, Networks } from "./networks";
import { CHANNELS, OFFSET_STEP, RAW } from "./protocol.generated";

const BLOCKS = CHANNELS / 4;
const RAW_BLOCKS = Math.ceil(RAW / 4);
const WEIGHTS_WIDTH = 128;

/** Textures of what the renderer draws; see `Gaussians` in `decode.ts`. */
export interface GaussianTextures {
  readonly means: WebGLTexture;
  readonly quats: WebGLTexture;
  readonly scales: WebGLTexture;
  readonly colors: WebGLTexture;
}

/** Decodes one avatar again and again. */
export class GpuDecoder {
  readonly textures: GaussianTextures;
  readonly count: number;
  readonly #gl: WebGL2RenderingContext;
  readonly #program: WebGLProgram;
  readonly #target: WebGLFramebuffer;
  readonly #inputs: Record<string, WebGLTexture>;
  readonly #networks: Networks;
  readonly #avatar: Avatar;

  constructor(gl: WebGL2RenderingContext, networks: Networks, avatar: Avatar) {
    this.#gl = gl;
    this.#networks = networks;
    this.#avatar = avatar;
    this.count = avatar.count;
    const rows = rowsFor(avatar.count);
    const make = () => texture(gl, gl.RGBA32F, WIDTH, rows);
    this.textures = { means: make(), quats: make(), scales: make(), colors: make() };
    this.#target = framebuffer(gl, Object.values(this.textures));
    const folded = fold(networks);
    this.#program = program(gl, FULL_SCREEN, shader(folded, avatar));
    this.#inputs = {
      features: perGaussian(gl, gl.RGBA16F, avatar.features, BLOCKS),
      basis: perGaussian(gl, gl.RGBA16F, normalisedBasis(avatar), BLOCKS),
      weights: weightsTexture(gl, folded),
      ...(avatar.anchors && { anchors: anchorsTexture(gl, avatar) }),
    };
    this.#setConstants(folded);
  }

  #setConstants(folded: Folded): void {
    const gl = this.#gl;
    gl.useProgram(this.#program);
    const set = (name: string, values: Float32Array) =>
      gl.uniform4fv(gl.getUniformLocation(this.#program, name), values);
    set("fusion_hidden_bias", padded(folded.fusionHidden.bias));
    set("fusion_out_bias", folded.fusionOut.bias);
    set("decoder_hidden_bias", padded(folded.decoderHidden.bias));
    set("decoder_out_bias", padded(folded.decoderOut.bias));
    if (this.#avatar.anchors) {
      // Row-major to GLSL's columns: transposed here, since WebGL2 can.
      const place = gl.getUniformLocation(this.#program, "axes");
      gl.uniformMatrix3fv(place, true, this.#avatar.anchors.axes);
    }
  }

  /** Fill the textures with the avatar as it expresses `latent`; gives positions, opacities. */
  run(latent: Float32Array): Promise<Float32Array> {
    const gl = this.#gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#target);
    gl.viewport(0, 0, WIDTH, rowsFor(this.count));
    gl.disable(gl.BLEND);
    gl.useProgram(this.#program);
    bindTextures(gl, this.#program, this.#inputs);
    const asked = modulation(this.#networks, this.#avatar.sourceLatent, latent);
    gl.uniform4fv(gl.getUniformLocation(this.#program, "modulation"), asked);
    gl.bindVertexArray(null);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    return this.#readMeans();
  }

  /** (N, 4) as last decoded; waits for the GPU without blocking. */
  async #readMeans(): Promise<Float32Array> {
    const gl = this.#gl;
    const rows = rowsFor(this.count);
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
    gl.bufferData(gl.PIXEL_PACK_BUFFER, 16 * WIDTH * rows, gl.STREAM_READ);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#target);
    gl.readBuffer(gl.COLOR_ATTACHMENT0);
    gl.readPixels(0, 0, WIDTH, rows, gl.RGBA, gl.FLOAT, 0);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    await finished(gl);
    const means = new Float32Array(4 * this.count);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
    gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, 0, means);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    gl.deleteBuffer(buffer);
    return means;
  }

  dispose(): void {
    const gl = this.#gl;
    for (const value of [...Object.values(this.textures), ...Object.values(this.#inputs)]) {
      gl.deleteTexture(value);
    }
    gl.deleteFramebuffer(this.#target);
    gl.deleteProgram(this.#program);
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

/** The layers that the shader computes, two and two with a softplus between. */
interface Folded {
  readonly fusionHidden: Linear;
  readonly fusionOut: Linear;
  readonly decoderHidden: Linear;
  readonly decoderOut: Linear;
}

function fold({ fusion, decoder }: Networks): Folded {
  const { hidden, proj, out, gain } = fusion;
  const weight = new Float32Array(hidden.outputs * proj.inputs);
  const bias = hidden.bias.slice();
  for (let row = 0; row < hidden.outputs; row++) {
    for (let k = 0; k < hidden.inputs; k++) {
      const factor = hidden.weight[row * hidden.inputs + k];
      bias[row] += factor * proj.bias[k];
      for (let column = 0; column < proj.inputs; column++) {
        weight[row * proj.inputs + column] += factor * proj.weight[k * proj.inputs + column];
      }
    }
  }
  const gained = (values: Float32Array) => values.map((value) => gain * value);
  return {
    fusionHidden: { ...hidden, inputs: proj.inputs, weight, bias },
    fusionOut: { ...out, weight: gained(out.weight), bias: gained(out.bias) },
    decoderHidden: decoder.hidden,
    decoderOut: decoder.out,
  };
}

function padded(values: Float32Array): Float32Array {
  const result = new Float32Array(Math.ceil(values.length / 4) * 4);
  result.set(values);
  return result;
}

function normalisedBasis(avatar: Avatar): Float32Array {
  const result = new Float32Array(avatar.basis.length);
  for (let at = 0; at < result.length; at += CHANNELS) {
    const range = [at, at + CHANNELS] as const;
    normalise(avatar.basis.subarray(...range), result.subarray(...range));
  }
  return result;
}

/** Texel j of Gaussian i lies at (i mod WIDTH, (i div WIDTH) · texels + j). */
function perGaussian(
  gl: WebGL2RenderingContext,
  format: number,
  values: Float32Array,
  texels: number,
): WebGLTexture {
  const count = values.length / (4 * texels);
  const rows = rowsFor(count) * texels;
  const laid = new Float32Array(4 * WIDTH * rows);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < texels; j++) {
      const at = (Math.floor(i / WIDTH) * texels + j) * WIDTH + (i % WIDTH);
      laid.set(values.subarray(4 * (i * texels + j), 4 * (i * texels + j + 1)), 4 * at);
    }
  }
  const result = texture(gl, format, WIDTH, rows);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDTH, rows, gl.RGBA, gl.FLOAT, laid);
  return result;
}

function anchorsTexture(gl: WebGL2RenderingContext, avatar: Avatar): WebGLTexture {
  const { anchors, count } = avatar;
  if (!anchors) throw new TypeError("no anchors");
  const values = new Float32Array(8 * count);
  for (let i = 0; i < count; i++) {
    values.set(anchors.means.subarray(3 * i, 3 * i + 3), 8 * i);
    values[8 * i + 3] = anchors.scales[i];
    values.set(anchors.colors.subarray(3 * i, 3 * i + 3), 8 * i + 4);
    values[8 * i + 7] = anchors.density[i];
  }
  return perGaussian(gl, gl.RGBA32F, values, 2);
}

/**
 * Weights in the order in which the shader reads them, eight halves a texel: for each four hidden
 * units, the blocks that lead to them, then the blocks that lead on.
 */
function weightsTexture(gl: WebGL2RenderingContext, folded: Folded): WebGLTexture {
  const halves: number[] = [];
  for (const [first, second] of [
    [folded.fusionHidden, folded.fusionOut],
    [folded.decoderHidden, folded.decoderOut],
  ]) {
    for (let unit = 0; unit < first.outputs; unit += 4) {
      for (let input = 0; input < first.inputs; input += 4) block(halves, first, unit, input);
      for (let output = 0; output < second.outputs; output += 4)
        block(halves, second, output, unit);
    }
  }
  const rows = Math.ceil(halves.length / (8 * WEIGHTS_WIDTH));
  const words = new Uint32Array(4 * WEIGHTS_WIDTH * rows);
  for (let i = 0; i < halves.length; i += 2) words[i / 2] = halves[i] | (halves[i + 1] << 16);
  const result = texture(gl, gl.RGBA32UI, WEIGHTS_WIDTH, rows);
  gl.texSubImage2D(
    gl.TEXTURE_2D,
    0,
    0,
    0,
    WEIGHTS_WIDTH,
    rows,
    gl.RGBA_INTEGER,
    gl.UNSIGNED_INT,
    words,
  );
  return result;
}

/** Append a block of 4 × 4 weights, column by column; what lies outside the matrix is zero. */
function block(halves: number[], layer: Linear, row: number, column: number): void {
  for (let i = column; i < column + 4; i++) {
    for (let o = row; o < row + 4; o++) {
      const inside = i < layer.inputs && o < layer.outputs;
      halves.push(inside ? toHalf(layer.weight[o * layer.inputs + i]) : 0);
    }
  }
}

function shader(folded: Folded, avatar: Avatar): string {
  const fusionHidden = Math.ceil(folded.fusionHidden.outputs / 4);
  const decoderHidden = Math.ceil(folded.decoderHidden.outputs / 4);
  return `
uniform highp usampler2D weights;
uniform sampler2D features, basis, anchors;
uniform vec4 modulation[${2 * BLOCKS}];
uniform vec4 fusion_hidden_bias[${fusionHidden}], fusion_out_bias[${BLOCKS}];
uniform vec4 decoder_hidden_bias[${decoderHidden}], decoder_out_bias[${RAW_BLOCKS}];
uniform mat3 axes;
layout(location = 0) out vec4 mean_opacity;
layout(location = 1) out vec4 quat;
layout(location = 2) out vec4 scale;
layout(location = 3) out vec4 color;

int next = 0;

// The next block of weights times x.
vec4 times(vec4 x) {
  uvec4 a = texelFetch(weights, ivec2(next % ${WEIGHTS_WIDTH}, next / ${WEIGHTS_WIDTH}), 0);
  next++;
  uvec4 b = texelFetch(weights, ivec2(next % ${WEIGHTS_WIDTH}, next / ${WEIGHTS_WIDTH}), 0);
  next++;
  return vec4(unpackHalf2x16(a.x), unpackHalf2x16(a.y)) * x.x
    + vec4(unpackHalf2x16(a.z), unpackHalf2x16(a.w)) * x.y
    + vec4(unpackHalf2x16(b.x), unpackHalf2x16(b.y)) * x.z
    + vec4(unpackHalf2x16(b.z), unpackHalf2x16(b.w)) * x.w;
}

vec4 softplus(vec4 x) { return max(x, 0.0) + log(1.0 + exp(-abs(x))); }
vec3 sigmoid(vec3 x) { return 1.0 / (1.0 + exp(-x)); }
vec3 safe_tanh(vec3 x) { return tanh(clamp(x, -15.0, 15.0)); }

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  vec4 x[${BLOCKS}], f[${BLOCKS}];
  for (int c = 0; c < ${BLOCKS}; c++) {
    ivec2 texel = ivec2(at.x, at.y * ${BLOCKS} + c);
    x[c] = texelFetch(basis, texel, 0) * modulation[c] + modulation[${BLOCKS} + c];
    f[c] = texelFetch(features, texel, 0) + fusion_out_bias[c];
  }
  for (int k = 0; k < ${fusionHidden}; k++) {
    vec4 h = fusion_hidden_bias[k];
    for (int c = 0; c < ${BLOCKS}; c++) h += times(x[c]);
    h = softplus(h);
    for (int c = 0; c < ${BLOCKS}; c++) f[c] += times(h);
  }
  vec4 raw[${RAW_BLOCKS}];
  for (int o = 0; o < ${RAW_BLOCKS}; o++) raw[o] = decoder_out_bias[o];
  for (int k = 0; k < ${decoderHidden}; k++) {
    vec4 h = decoder_hidden_bias[k];
    for (int c = 0; c < ${BLOCKS}; c++) h += times(f[c]);
    h = softplus(h);
    for (int o = 0; o < ${RAW_BLOCKS}; o++) raw[o] += times(h);
  }
  vec3 hue = raw[0].yzw;
  vec3 position = vec3(raw[2].w, raw[3].xy);
  vec3 size = vec3(raw[3].zw, raw[4].x);
  vec4 turn = vec4(raw[4].yzw, raw[5].x);
  ${avatar.anchors ? ANCHORED : FREE}
}`;
}

const ANCHORED = `
  vec4 place = texelFetch(anchors, ivec2(at.x, 2 * at.y), 0);
  vec4 paint = texelFetch(anchors, ivec2(at.x, 2 * at.y + 1), 0);
  float density = softplus(vec4(raw[0].x - 1.0 + paint.w)).x;
  mean_opacity = vec4(place.xyz + axes * (${OFFSET_STEP} * position), 1.0 - exp(-density));
  quat = normalize(turn + vec4(1.0, 0.0, 0.0, 0.0));
  scale = vec4(place.w * exp(clamp(size, -3.0, 2.0)), 0.0);
  color = vec4(clamp(paint.rgb + safe_tanh(hue), 0.0, 1.0), 0.0);`;

const FREE = `
  float density = softplus(vec4(raw[0].x - 1.0)).x;
  mean_opacity = vec4(safe_tanh(position), 1.0 - exp(-density));
  quat = normalize(turn);
  scale = vec4(0.05 * sigmoid(size), 0.0);
  color = vec4(1.002 * sigmoid(hue) - 0.001, 0.0);`;
