/**
 * The splat renderer: instanced quads, projected in the vertex shader, blended back to front.
 * What it draws equals `mien.render.reference`, whose cut-offs and clamps it shares.
 */

import type { GaussianTextures } from "./gaussian_target";
import { bindTextures, FULL_SCREEN, framebuffer, program, texture, WIDTH } from "./gl";
import { ALPHA_MAX, ALPHA_MIN, BLUR, GUARD, NEAR } from "./protocol.generated";
import type { Camera } from "./scene";

/** Red, green, blue and alpha in [0, 1], not premultiplied. */
export type Background = readonly [number, number, number, number];

const VERTEX = `
layout(location = 0) in uint index;
uniform sampler2D means, quats, scales, colors;
uniform mat3 rotation;
uniform vec3 translation;
uniform vec2 focal, extent;
out vec2 offset;
flat out vec4 paint;

mat3 matrix_of(vec4 q) {
  float w = q.x, x = q.y, y = q.z, z = q.w;
  return mat3(
    1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
    2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
    2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
}

void main() {
  ivec2 texel = ivec2(int(index) % ${WIDTH}, int(index) / ${WIDTH});
  vec4 mean = texelFetch(means, texel, 0);
  vec3 local = rotation * mean.xyz + translation;
  gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
  if (!(local.z >= float(${NEAR})) || !(mean.w >= float(${ALPHA_MIN}))) return;

  vec2 ray = local.xy / local.z;
  vec2 guard = (0.5 + float(${GUARD}) * 0.5) * extent / focal;
  vec2 clamped = clamp(ray, -guard, guard);
  vec2 step_ = focal / local.z;
  mat3 jacobian = mat3(step_.x, 0.0, 0.0, 0.0, step_.y, 0.0, -step_ * clamped, 0.0);
  mat3 shape = jacobian * rotation * matrix_of(texelFetch(quats, texel, 0));
  vec3 size = texelFetch(scales, texel, 0).xyz;
  mat3 spread = mat3(shape[0] * size.x, shape[1] * size.y, shape[2] * size.z);
  mat3 cov = spread * transpose(spread);
  float xx = cov[0].x + float(${BLUR}), xy = cov[0].y, yy = cov[1].y + float(${BLUR});
  if (!(xx * yy - xy * xy > 0.0)) return;

  // A square of side 2r mapped by the Cholesky factor just holds the ellipse.
  float a = sqrt(xx), b = xy / a, c = sqrt(max(yy - b * b, 1e-12));
  float radius = sqrt(2.0 * log(mean.w / float(${ALPHA_MIN})));
  offset = radius * (vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0);
  vec2 pixel = ray * focal + 0.5 * extent + vec2(a * offset.x, b * offset.x + c * offset.y);
  paint = vec4(texelFetch(colors, texel, 0).rgb, mean.w);
  gl_Position = vec4((pixel / extent * 2.0 - 1.0) * vec2(1.0, -1.0), 0.0, 1.0);
}`;

const FRAGMENT = `
in vec2 offset;
flat in vec4 paint;
out vec4 result;
void main() {
  float alpha = min(paint.a * exp(-0.5 * dot(offset, offset)), float(${ALPHA_MAX}));
  if (alpha < float(${ALPHA_MIN})) discard;
  result = vec4(paint.rgb * alpha, alpha);
}`;

const OVER_BACKGROUND = `
uniform sampler2D picture;
uniform vec4 background;
out vec4 result;
void main() {
  vec4 front = texelFetch(picture, ivec2(gl_FragCoord.xy), 0);
  vec4 over = front + (1.0 - front.a) * vec4(background.rgb * background.a, background.a);
  result = clamp(over, 0.0, 1.0);
}`;

/** Draws Gaussians that lie in textures. */
export class Renderer {
  readonly #gl: WebGL2RenderingContext;
  readonly #splat: WebGLProgram;
  readonly #over: WebGLProgram;
  readonly #quads: WebGLVertexArrayObject;
  readonly #order: WebGLBuffer;
  readonly #pictureFormat: number;
  #drawn = 0;
  #picture: { texture: WebGLTexture; target: WebGLFramebuffer; size: string } | null = null;

  /**
   * @param floats whether the GPU can draw into float textures. In eight bits the roundings of many
   *   faint splats add up.
   */
  constructor(gl: WebGL2RenderingContext, floats: boolean) {
    this.#gl = gl;
    this.#pictureFormat = floats ? gl.RGBA16F : gl.RGBA8;
    this.#splat = program(gl, VERTEX, FRAGMENT);
    this.#over = program(gl, FULL_SCREEN, OVER_BACKGROUND);
    this.#quads = gl.createVertexArray();
    this.#order = gl.createBuffer();
    gl.bindVertexArray(this.#quads);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#order);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribIPointer(0, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(0, 1);
    gl.bindVertexArray(null);
  }

  /** Set which Gaussians are drawn, far to near. */
  setOrder(order: Uint32Array): void {
    const gl = this.#gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#order);
    gl.bufferData(gl.ARRAY_BUFFER, order, gl.DYNAMIC_DRAW);
    this.#drawn = order.length;
  }

  /** Draw onto the canvas, which has this size in pixels. */
  draw(
    gaussians: GaussianTextures,
    camera: Camera,
    [width, height]: readonly [number, number],
    background: Background,
  ): void {
    const gl = this.#gl;
    const picture = this.#pictureOf(width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, picture.target);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    this.#splats(gaussians, camera, width, height);

    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.disable(gl.BLEND);
    gl.useProgram(this.#over);
    bindTextures(gl, this.#over, { picture: picture.texture });
    gl.uniform4fv(gl.getUniformLocation(this.#over, "background"), background);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  #splats(gaussians: GaussianTextures, camera: Camera, width: number, height: number): void {
    const gl = this.#gl;
    gl.useProgram(this.#splat);
    bindTextures(gl, this.#splat, { ...gaussians });
    const place = (name: string) => gl.getUniformLocation(this.#splat, name);
    const focal = camera.focal * Math.min(width, height);
    gl.uniformMatrix3fv(place("rotation"), true, camera.rotation);
    gl.uniform3fv(place("translation"), camera.translation);
    gl.uniform2f(place("focal"), focal, focal);
    gl.uniform2f(place("extent"), width, height);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(this.#quads);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.#drawn);
    gl.bindVertexArray(null);
  }

  #pictureOf(width: number, height: number) {
    const gl = this.#gl;
    const size = `${width}x${height}`;
    if (this.#picture?.size === size) return this.#picture;
    if (this.#picture) {
      gl.deleteTexture(this.#picture.texture);
      gl.deleteFramebuffer(this.#picture.target);
    }
    const made = texture(gl, this.#pictureFormat, width, height);
    this.#picture = { texture: made, target: framebuffer(gl, [made]), size };
    return this.#picture;
  }
}
