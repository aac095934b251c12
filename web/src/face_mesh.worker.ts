/**
 * MediaPipe's face mesh off the main thread: pictures in, landmarks out.
 *
 * Its loader looks for a window and a document; here it finds the little of them that it uses.
 */

interface Results {
  readonly image: ImageBitmap;
  readonly multiFaceLandmarks: readonly (readonly { x: number; y: number; z: number }[])[];
}

/** What this page uses of `@mediapipe/face_mesh`. */
interface Mesh {
  setOptions(options: Readonly<Record<string, number | boolean>>): void;
  onResults(listener: (results: Results) => void): void;
  initialize(): Promise<void>;
  send(inputs: { readonly image: OffscreenCanvas }): Promise<void>;
}

declare const FaceMesh: new (config: { locateFile: (name: string) => string }) => Mesh;

export interface Request {
  readonly picture: ImageBitmap;
  /** Whether left and right are to be exchanged first. */
  readonly mirrored: boolean;
}

export type Answer =
  /** (478, 3) pixels of the picture; null where no face is seen. */
  | { readonly landmarks: Float32Array | null }
  | { readonly ready: true }
  | { readonly error: string };

/** Larger pictures are made this wide: the mesh itself sees 192 pixels. */
const MOST_WIDTH = 640;

const script = () => ({
  src: "",
  loaded: () => undefined,
  setAttribute(name: string, value: string) {
    if (name === "src") this.src = value;
  },
  addEventListener(event: string, listener: () => undefined) {
    if (event === "load") this.loaded = listener;
  },
});

Object.assign(self, {
  window: self,
  document: {
    createElement: (tag: string) =>
      tag === "script" ? script() : Object.assign(new OffscreenCanvas(1, 1), { style: {} }),
    addEventListener: () => undefined,
    body: {
      appendChild(element: ReturnType<typeof script>) {
        importScripts(element.src);
        element.loaded();
      },
    },
  },
});

const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { willReadFrequently: false });
let seen: Results["multiFaceLandmarks"] = [];

async function start(): Promise<Mesh> {
  importScripts("face_mesh.js");
  const mesh = new FaceMesh({ locateFile: (name) => name });
  mesh.setOptions({ maxNumFaces: 1, refineLandmarks: true });
  mesh.onResults((results) => {
    seen = results.multiFaceLandmarks;
    results.image.close();
  });
  await mesh.initialize();
  return mesh;
}

function draw({ picture, mirrored }: Request): void {
  const step = Math.min(1, MOST_WIDTH / picture.width);
  canvas.width = Math.round(picture.width * step);
  canvas.height = Math.round(picture.height * step);
  if (mirrored) context?.setTransform(-1, 0, 0, 1, canvas.width, 0);
  context?.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
}

function flat(): Float32Array | null {
  const face = seen[0];
  if (!face) return null;
  const { width, height } = canvas;
  return Float32Array.from(face.flatMap(({ x, y, z }) => [x * width, y * height, z * width]));
}

const mesh = start();
mesh.then(
  () => self.postMessage({ ready: true } satisfies Answer),
  (error) => self.postMessage({ error: String(error) } satisfies Answer),
);

self.onmessage = async ({ data }: MessageEvent<Request>) => {
  try {
    draw(data);
    await (await mesh).send({ image: canvas });
    self.postMessage({ landmarks: flat() } satisfies Answer);
  } catch (error) {
    self.postMessage({ error: String(error) } satisfies Answer);
  }
};
