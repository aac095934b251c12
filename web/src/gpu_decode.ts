/**
 * Fusion and decoder as one fragment shader: a texel is a Gaussian. Gives what `decode.ts` gives,
 * but for the half precision of weights and features.
 */

import type { Avatar } from "./avatar";
import { modulation } from "./decode";
import { anchorRecords, type Folded, fold, normalisedBasis, padded, weightBlocks } from "./folded";
import { GaussianTarget, type GaussianTextures, OUTPUTS } from "./gaussian_target";
import { bindTextures, FULL_SCREEN, program, rowsFor, texture, WIDTH } from "./gl";
import { toHalf } from "./half";
import type { Networks } from "./networks";
import { CHANNELS, OFFSET_STEP, RAW } from "./protocol.generated";

const BLOCKS = CHANNELS / 4;
const RAW_BLOCKS = Math.ceil(RAW / 4);
const WEIGHTS_WIDTH = 128;

/** Decodes one avatar again and again. */
export class GpuDecoder {
  readonly count: number;
  readonly #gl: WebGL2RenderingContext;
  readonly #program: WebGLProgram;
  readonly #target: GaussianTarget;
  readonly #inputs: Record<string, WebGLTexture>;
  readonly #networks: Networks;
  readonly #avatar: Avatar;

  constructor(gl: WebGL2RenderingContext, networks: Networks, avatar: Avatar) {
    this.#gl = gl;
    this.#networks = networks;
    this.#avatar = avatar;
    this.count = avatar.count;
    this.#target = new GaussianTarget(gl, avatar.count);
    const folded = fold(networks);
    this.#program = program(gl, FULL_SCREEN, shader(folded, avatar));
    this.#inputs = {
      features: perGaussian(gl, gl.RGBA16F, avatar.features, BLOCKS),
      basis: perGaussian(gl, gl.RGBA16F, normalisedBasis(avatar), BLOCKS),
      weights: weightsTexture(gl, folded),
      ...(avatar.anchors && {
        anchors: perGaussian(gl, gl.RGBA32F, anchorRecords(avatar.anchors), 2),
      }),
    };
    this.#setConstants(folded);
  }

  get textures(): GaussianTextures {
    return this.#target.textures;
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
    gl.useProgram(this.#program);
    bindTextures(gl, this.#program, this.#inputs);
    const asked = modulation(this.#networks, this.#avatar.sourceLatent, latent);
    gl.uniform4fv(gl.getUniformLocation(this.#program, "modulation"), asked);
    return this.#target.fill();
  }

  dispose(): void {
    const gl = this.#gl;
    for (const value of Object.values(this.#inputs)) gl.deleteTexture(value);
    this.#target.dispose();
    gl.deleteProgram(this.#program);
  }
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

/** Eight halves a texel. */
function weightsTexture(gl: WebGL2RenderingContext, folded: Folded): WebGLTexture {
  const halves = weightBlocks(folded).map(toHalf);
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
${OUTPUTS}

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
