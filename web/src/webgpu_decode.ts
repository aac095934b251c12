/**
 * Fusion and decoder as one WebGPU compute shader: an invocation is a Gaussian. Gives what
 * `decode.ts` gives. The renderer is WebGL's, so what comes out is read back, as its positions are
 * for sorting anyway, and laid into its textures.
 */

import type { Anchors, Avatar } from "./avatar";
import { modulation } from "./decode";
import { anchorRecords, type Folded, fold, normalisedBasis, padded, weightBlocks } from "./folded";
import type { GaussianTextures } from "./gaussian_target";
import { rowsFor, texture, WIDTH } from "./gl";
import type { Networks } from "./networks";
import { CHANNELS, OFFSET_STEP, RAW } from "./protocol.generated";

const BLOCKS = CHANNELS / 4;
const RAW_BLOCKS = Math.ceil(RAW / 4);
/** Invocations of a group, and Gaussians of an invocation, which share what it reads of weights. */
const GROUP = 64;
const EACH = 4;
const TEXTURES = ["means", "quats", "scales", "colors"] as const;

/** A device to compute on, or null where there is none. */
export async function openDevice(): Promise<GPUDevice | null> {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return (await adapter?.requestDevice()) ?? null;
  } catch {
    return null;
  }
}

/** Whether a device can hold an avatar. */
export function fits(device: GPUDevice, { count }: Avatar): boolean {
  return 16 * BLOCKS * places(count) <= device.limits.maxStorageBufferBindingSize;
}

/** Gaussians with those that fill up the last row of the textures. */
function places(count: number): number {
  return WIDTH * rowsFor(count);
}

/** Decodes one avatar again and again; the same to use as `GpuDecoder`. */
export class WebGpuDecoder {
  readonly textures: GaussianTextures;
  readonly count: number;
  readonly #device: GPUDevice;
  readonly #gl: WebGL2RenderingContext;
  readonly #networks: Networks;
  readonly #avatar: Avatar;
  readonly #pipeline: GPUComputePipeline;
  readonly #bindings: GPUBindGroup;
  readonly #buffers: GPUBuffer[] = [];
  readonly #asked: GPUBuffer;
  readonly #result: GPUBuffer;
  readonly #read: GPUBuffer;
  #means: Float32Array;

  constructor(device: GPUDevice, gl: WebGL2RenderingContext, networks: Networks, avatar: Avatar) {
    this.#device = device;
    this.#gl = gl;
    this.#networks = networks;
    this.#avatar = avatar;
    this.count = avatar.count;
    this.#means = new Float32Array(4 * avatar.count);
    const make = () => texture(gl, gl.RGBA32F, WIDTH, rowsFor(avatar.count));
    this.textures = { means: make(), quats: make(), scales: make(), colors: make() };

    const folded = fold(networks);
    const module = device.createShaderModule({ code: shader(folded, avatar) });
    const compute = { module, entryPoint: "main" };
    this.#pipeline = device.createComputePipeline({ layout: "auto", compute });
    const size = 16 * TEXTURES.length * places(avatar.count);
    const { STORAGE, UNIFORM, COPY_DST, COPY_SRC, MAP_READ } = GPUBufferUsage;
    this.#asked = this.#buffer(32 * BLOCKS, UNIFORM | COPY_DST);
    this.#result = this.#buffer(size, STORAGE | COPY_SRC);
    this.#read = this.#buffer(size, MAP_READ | COPY_DST);
    const inputs = [
      Float32Array.from(weightBlocks(folded)),
      biases(folded),
      inColumns(avatar.features, BLOCKS),
      inColumns(normalisedBasis(avatar), BLOCKS),
      ...(avatar.anchors ? anchorBuffers(avatar.anchors) : []),
    ].map((values) => this.#filled(values));
    this.#bindings = device.createBindGroup({
      layout: this.#pipeline.getBindGroupLayout(0),
      entries: [this.#asked, this.#result, ...inputs].map((buffer, binding) => ({
        binding,
        resource: { buffer },
      })),
    });
  }

  #buffer(size: number, usage: number): GPUBuffer {
    const buffer = this.#device.createBuffer({ size, usage });
    this.#buffers.push(buffer);
    return buffer;
  }

  #filled(values: Float32Array): GPUBuffer {
    const buffer = this.#buffer(
      values.byteLength,
      GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
    );
    this.#device.queue.writeBuffer(buffer, 0, values.slice());
    return buffer;
  }

  /** Fill the textures with the avatar as it expresses `latent`; gives positions, opacities. */
  async run(latent: Float32Array): Promise<Float32Array> {
    const asked = modulation(this.#networks, this.#avatar.sourceLatent, latent);
    this.#device.queue.writeBuffer(this.#asked, 0, asked.slice());
    const commands = this.#device.createCommandEncoder();
    const pass = commands.beginComputePass();
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, this.#bindings);
    pass.dispatchWorkgroups(places(this.count) / (GROUP * EACH));
    pass.end();
    commands.copyBufferToBuffer(this.#result, 0, this.#read, 0, this.#read.size);
    this.#device.queue.submit([commands.finish()]);
    try {
      await this.#read.mapAsync(GPUMapMode.READ);
    } catch {
      // The device was lost; what was decoded last stays in sight.
      return this.#means.slice();
    }
    this.#lay(new Float32Array(this.#read.getMappedRange()));
    this.#read.unmap();
    return this.#means.slice();
  }

  #lay(values: Float32Array): void {
    const gl = this.#gl;
    const rows = rowsFor(this.count);
    const size = 4 * places(this.count);
    TEXTURES.forEach((name, i) => {
      const part = values.subarray(i * size, (i + 1) * size);
      gl.bindTexture(gl.TEXTURE_2D, this.textures[name]);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDTH, rows, gl.RGBA, gl.FLOAT, part);
    });
    this.#means = values.slice(0, 4 * this.count);
  }

  dispose(): void {
    for (const buffer of this.#buffers) buffer.destroy();
    for (const value of Object.values(this.textures)) this.#gl.deleteTexture(value);
  }
}

/** (N, 4·B) as (B, places, 4), so that neighbours read neighbours. */
function inColumns(values: Float32Array, blocks: number): Float32Array {
  const count = values.length / (4 * blocks);
  const result = new Float32Array(4 * blocks * places(count));
  for (let i = 0; i < count; i++) {
    for (let block = 0; block < blocks; block++) {
      const from = 4 * (i * blocks + block);
      result.set(values.subarray(from, from + 4), 4 * (block * places(count) + i));
    }
  }
  return result;
}

function biases(folded: Folded): Float32Array {
  const { fusionHidden, fusionOut, decoderHidden, decoderOut } = folded;
  const parts = [fusionHidden, fusionOut, decoderHidden, decoderOut].map(({ bias }) =>
    padded(bias),
  );
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

/** The anchors, and their axes as three columns of four. */
function anchorBuffers(anchors: Anchors): Float32Array[] {
  const { axes } = anchors;
  const columns = [0, 1, 2].flatMap((j) => [axes[j], axes[3 + j], axes[6 + j], 0]);
  return [inColumns(anchorRecords(anchors), 2), Float32Array.from(columns)];
}

function shader(folded: Folded, avatar: Avatar): string {
  const fusionHidden = Math.ceil(folded.fusionHidden.outputs / 4);
  const decoderHidden = Math.ceil(folded.decoderHidden.outputs / 4);
  const total = places(avatar.count);
  const starts = [0, fusionHidden, fusionHidden + BLOCKS, fusionHidden + BLOCKS + decoderHidden];
  return `
@group(0) @binding(0) var<uniform> asked: array<vec4f, ${2 * BLOCKS}>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4f>;
@group(0) @binding(2) var<storage, read> weights: array<mat4x4f>;
@group(0) @binding(3) var<storage, read> biases: array<vec4f>;
@group(0) @binding(4) var<storage, read> features: array<vec4f>;
@group(0) @binding(5) var<storage, read> basis: array<vec4f>;
${avatar.anchors ? ANCHORS : ""}

fn softplus(x: vec4f) -> vec4f { return max(x, vec4f(0.0)) + log(1.0 + exp(-abs(x))); }
fn sigmoid(x: vec3f) -> vec3f { return 1.0 / (1.0 + exp(-x)); }
fn safe_tanh(x: vec3f) -> vec3f { return tanh(clamp(x, vec3f(-15.0), vec3f(15.0))); }

@compute @workgroup_size(${GROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let first = id.x;
  var x: array<array<vec4f, ${EACH}>, ${BLOCKS}>;
  var f: array<array<vec4f, ${EACH}>, ${BLOCKS}>;
  for (var c = 0u; c < ${BLOCKS}u; c++) {
    for (var j = 0u; j < ${EACH}u; j++) {
      let at = c * ${total}u + first + j * ${total / EACH}u;
      x[c][j] = basis[at] * asked[c] + asked[${BLOCKS}u + c];
      f[c][j] = features[at] + biases[${starts[1]}u + c];
    }
  }
  var next = 0u;
  var h: array<vec4f, ${EACH}>;
  for (var k = 0u; k < ${fusionHidden}u; k++) {
    ${each("h[j] = biases[k];")}
    for (var c = 0u; c < ${BLOCKS}u; c++) {
      let w = weights[next + c];
      ${each("h[j] += w * x[c][j];")}
    }
    next += ${BLOCKS}u;
    ${each("h[j] = softplus(h[j]);")}
    for (var c = 0u; c < ${BLOCKS}u; c++) {
      let w = weights[next + c];
      ${each("f[c][j] += w * h[j];")}
    }
    next += ${BLOCKS}u;
  }
  var raw: array<array<vec4f, ${EACH}>, ${RAW_BLOCKS}>;
  for (var o = 0u; o < ${RAW_BLOCKS}u; o++) {
    ${each(`raw[o][j] = biases[${starts[3]}u + o];`)}
  }
  for (var k = 0u; k < ${decoderHidden}u; k++) {
    ${each(`h[j] = biases[${starts[2]}u + k];`)}
    for (var c = 0u; c < ${BLOCKS}u; c++) {
      let w = weights[next + c];
      ${each("h[j] += w * f[c][j];")}
    }
    next += ${BLOCKS}u;
    ${each("h[j] = softplus(h[j]);")}
    for (var o = 0u; o < ${RAW_BLOCKS}u; o++) {
      let w = weights[next + o];
      ${each("raw[o][j] += w * h[j];")}
    }
    next += ${RAW_BLOCKS}u;
  }
  for (var j = 0u; j < ${EACH}u; j++) {
    finish(
      first + j * ${total / EACH}u,
      array(raw[0][j], raw[1][j], raw[2][j], raw[3][j], raw[4][j], raw[5][j]),
    );
  }
}

// What the decoder's raw numbers mean for Gaussian i.
fn finish(i: u32, raw: array<vec4f, ${RAW_BLOCKS}>) {
  let hue = raw[0].yzw;
  let position = vec3f(raw[2].w, raw[3].xy);
  let size = vec3f(raw[3].zw, raw[4].x);
  let turn = vec4f(raw[4].yzw, raw[5].x);
  var mean: vec3f;
  var density: f32;
  var quat: vec4f;
  var scale: vec3f;
  var color: vec3f;
  ${avatar.anchors ? anchored(total) : FREE}
  result[i] = vec4f(mean, 1.0 - exp(-density));
  result[${total}u + i] = quat;
  result[${2 * total}u + i] = vec4f(scale, 0.0);
  result[${3 * total}u + i] = vec4f(color, 0.0);
}`;
}

/** A statement for each of an invocation's Gaussians j. */
function each(statement: string): string {
  return Array.from({ length: EACH }, (_, j) => statement.replaceAll("[j]", `[${j}]`)).join(" ");
}

const ANCHORS = `
@group(0) @binding(6) var<storage, read> anchors: array<vec4f>;
@group(0) @binding(7) var<storage, read> axes: array<vec4f>;`;

const anchored = (total: number) => `
  let place = anchors[i];
  let paint = anchors[${total}u + i];
  density = softplus(vec4f(raw[0].x - 1.0 + paint.w)).x;
  let moved = axes[0] * position.x + axes[1] * position.y + axes[2] * position.z;
  mean = place.xyz + ${OFFSET_STEP} * moved.xyz;
  quat = normalize(turn + vec4f(1.0, 0.0, 0.0, 0.0));
  scale = place.w * exp(clamp(size, vec3f(-3.0), vec3f(2.0)));
  color = clamp(paint.rgb + safe_tanh(hue), vec3f(0.0), vec3f(1.0));`;

const FREE = `
  density = softplus(vec4f(raw[0].x - 1.0)).x;
  mean = safe_tanh(position);
  quat = normalize(turn);
  scale = 0.05 * sigmoid(size);
  color = 1.002 * sigmoid(hue) - vec3f(0.001);`;
