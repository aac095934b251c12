/** The few WebGL2 calls that everything else is made of. */

/** The browser or its GPU cannot do what is needed. */
export class UnsupportedError extends Error {}

/** Texels in a row of every texture that holds something per Gaussian. */
export const WIDTH = 1024;

/** Without it, phones read textures in half precision or less. */
const PREAMBLE = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
`;

/** Compile and link; attribute 0 is at location 0. */
export function program(
  gl: WebGL2RenderingContext,
  vertex: string,
  fragment: string,
): WebGLProgram {
  const result = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, vertex],
    [gl.FRAGMENT_SHADER, fragment],
  ] as const) {
    const shader = gl.createShader(kind);
    if (!shader) throw new UnsupportedError("The GPU was lost.");
    gl.shaderSource(shader, PREAMBLE + source);
    gl.compileShader(shader);
    gl.attachShader(result, shader);
  }
  gl.linkProgram(result);
  if (!gl.getProgramParameter(result, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = gl.getAttachedShaders(result)?.map((shader) => gl.getShaderInfoLog(shader));
    throw new UnsupportedError(`The GPU refuses a shader: ${logs?.join(" ")}`);
  }
  return result;
}

/** A texture read texel by texel. */
export function texture(
  gl: WebGL2RenderingContext,
  format: number,
  width: number,
  height: number,
): WebGLTexture {
  if (Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
    throw new UnsupportedError("This avatar is too large for this GPU.");
  }
  const result = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, result);
  gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
  for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
    gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
  }
  return result;
}

/** Textures of one size, one above the other, read texel by texel. */
export function arrayTexture(
  gl: WebGL2RenderingContext,
  format: number,
  width: number,
  height: number,
  layers: number,
): WebGLTexture {
  const tooLarge =
    Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE) ||
    layers > gl.getParameter(gl.MAX_ARRAY_TEXTURE_LAYERS);
  if (tooLarge) throw new UnsupportedError("This avatar is too large for this GPU.");
  const result = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D_ARRAY, result);
  gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, format, width, height, layers);
  for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
    gl.texParameteri(gl.TEXTURE_2D_ARRAY, side, gl.NEAREST);
  }
  return result;
}

/** Bind textures to the samplers of these names, in order from unit 0. */
export function bindTextures(
  gl: WebGL2RenderingContext,
  used: WebGLProgram,
  textures: Readonly<Record<string, WebGLTexture>>,
): void {
  Object.entries(textures).forEach(([name, value], unit) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, value);
    gl.uniform1i(gl.getUniformLocation(used, name), unit);
  });
}

/** A framebuffer that draws into textures, one output each. */
export function framebuffer(
  gl: WebGL2RenderingContext,
  textures: readonly WebGLTexture[],
): WebGLFramebuffer {
  const result = gl.createFramebuffer();
  gl.bindFramebuffer(gl.FRAMEBUFFER, result);
  textures.forEach((value, i) => {
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + i, gl.TEXTURE_2D, value, 0);
  });
  gl.drawBuffers(textures.map((_, i) => gl.COLOR_ATTACHMENT0 + i));
  if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) {
    throw new UnsupportedError("This GPU cannot draw into float textures.");
  }
  return result;
}

/** Rows that `count` Gaussians take. */
export function rowsFor(count: number): number {
  return Math.ceil(count / WIDTH);
}

/** A triangle that covers everything. */
export const FULL_SCREEN = `
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0;
  gl_Position = vec4(corner, 0.0, 1.0);
}`;
