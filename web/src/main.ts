/** The page: fetches what it is to show, and wires controls to the picture. */

import { type Avatar, readTake, type Take } from "./avatar";
import { type BakedAvatar, isBaked, readAnyAvatar } from "./baked";
import { Recording, save } from "./capture";
import { Puppet } from "./decode";
import { toArray, type Values } from "./expressions";
import { type Networks, readNetworks } from "./networks";
import { OrbitControls } from "./orbit";
import { attempt, byId, stem } from "./page";
import { PhotoPanel } from "./photo";
import { type Asset, MANIFEST_PATH, type Manifest } from "./protocol.generated";
import { Driver, join, roomToken, Watcher } from "./room";
import { type Camera, FRONTAL, follow, orbit } from "./scene";
import { ControlPanel } from "./sliders";
import { TakePlayer } from "./take_player";
import { Viewer } from "./viewer";
import { Webcam } from "./webcam";
import type { Background } from "./webgl";
import { openDevice } from "./webgpu_decode";

const SCREENSHOT_SIDE = 1024;
const TURN_SECONDS = 8;

/** Asked for at once, while files are fetched. */
const device = openDevice();

/** One avatar, everything that moves it, and the page around it. */
class App {
  readonly viewer: Viewer;
  readonly orbit: OrbitControls;
  readonly controls: ControlPanel;
  readonly #networks: Networks;
  readonly #manifest: Manifest;
  readonly #puppet: Puppet;
  readonly #player: TakePlayer;
  readonly #driver: Driver | null;
  /** None in a page that was exported to one file: it would be four times as large. */
  readonly #webcam: Webcam | null;
  #avatar: Avatar | BakedAvatar;
  #latent: Float32Array;
  #camera: Camera;

  constructor(
    networks: Networks,
    avatar: Avatar | BakedAvatar,
    manifest: Manifest,
    driver: Driver | null = null,
  ) {
    this.#driver = driver;
    this.#manifest = manifest;
    this.#latent = avatar.sourceLatent;
    this.#camera = orbit(FRONTAL, avatar.focal);
    this.#networks = networks;
    this.#puppet = new Puppet(networks);
    this.#avatar = avatar;
    this.viewer = new Viewer(byId<HTMLCanvasElement>("picture"), device);
    const { motion_weights } = manifest.networks;
    const fetchTake = async (asset: Asset) =>
      fitting(await download(asset.url), networks, motion_weights);
    this.#player = new TakePlayer(manifest.takes, fetchTake, (latent, camera) => {
      this.#webcam?.stop();
      this.tell(latent, camera ?? this.#chosenCamera());
    });
    this.#webcam = carried ? null : this.#wireWebcam();
    this.orbit = new OrbitControls(this.viewer.canvas, () =>
      this.tell(this.#latent, this.#chosenCamera()),
    );
    this.controls = new ControlPanel((values) => this.#express(values));
    this.#wirePicture();
    this.#wireKeys();
    this.#wirePeople();
    setInterval(() => this.#showFigures(), 500);
  }

  /** Show an avatar and say whose it is. Rejects when it does not fit the networks. */
  async show(avatar: Avatar | BakedAvatar, name: string): Promise<void> {
    this.#check(avatar);
    this.#player.stop();
    this.#webcam?.stop();
    this.#avatar = avatar;
    this.#player.avatar = avatar;
    if (this.#webcam) this.#webcam.avatar = avatar;
    await this.viewer.show(this.#networks, avatar);
    this.orbit.set(FRONTAL);
    this.controls.set({});
    byId("name").textContent = name;
    document.title = `${name} · Mien`;
    const consent = avatar.provenance.consent ?? "not stated";
    byId("provenance").textContent = `A synthetic head. Consent of its subject: ${consent}.`;
    await this.viewer.settled();
  }

  #check(avatar: Avatar | BakedAvatar): void {
    const { preset, latentSize } = this.#networks;
    if (avatar.preset !== preset || avatar.sourceLatent.length !== latentSize) {
      throw new Error(`It was made with another preset ('${avatar.preset}').`);
    }
    const { avatar_weights, motion_weights } = this.#manifest.networks;
    if (avatar.weights !== (isBaked(avatar) ? motion_weights : avatar_weights)) {
      throw new Error("It was made with other weights than this page has; make it again.");
    }
  }

  /** Do as the room's driver does, and look as it does until the person turns the head. */
  watch(watcher: Watcher): void {
    let shown = "";
    const step = () => {
      const moment = watcher.playout.at(performance.now());
      // Drivers repeat themselves when nothing moves; then there is nothing to decode.
      const said = moment ? [...moment.latent, ...moment.quat, ...moment.translation].join() : "";
      if (moment && said !== shown) {
        shown = said;
        const camera = follow(moment.quat, moment.translation, this.#avatar.focal);
        this.tell(moment.latent, this.orbit.view === FRONTAL ? camera : this.#camera);
      }
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  /** A square picture of what was last asked for, `side` pixels wide. */
  async snapshot(side: number): Promise<Blob> {
    await this.#player.settled();
    return this.viewer.snapshot(side);
  }

  /** What the picture was last told. */
  get told(): { readonly latent: Float32Array; readonly camera: Camera } {
    return { latent: this.#latent, camera: this.#camera };
  }

  /** Show this expression as this camera sees it, here and, when driving, to the room. */
  tell(latent: Float32Array, camera: Camera): void {
    if (latent !== this.#latent) this.viewer.express(latent);
    if (camera !== this.#camera) this.viewer.look(camera);
    this.#latent = latent;
    this.#camera = camera;
    this.#driver?.say(latent, camera);
  }

  /** Where the person looks from, unless the head follows somebody's pose. */
  #chosenCamera(): Camera {
    return orbit(this.orbit.view, this.#avatar.focal);
  }

  #express(values: Values): void {
    this.#player.stop();
    this.#webcam?.stop();
    // A take may have left the camera where its driver's head was.
    this.tell(this.#puppet.latent(this.#avatar, toArray(values)), this.#chosenCamera());
  }

  #wireWebcam(): Webcam {
    if (this.#driver) {
      byId("camera-promise").textContent =
        "Your face moves the avatar. The room gets your expression and pose, never the picture.";
    }
    return new Webcam(this.#networks, (latent, camera) => {
      this.#player.stop();
      this.tell(latent, camera ?? this.#chosenCamera());
    });
  }

  #wirePicture(): void {
    this.viewer.canvas.addEventListener("webglcontextlost", () => {
      byId("status").textContent = "The GPU was lost; reload the page.";
    });
    const color = byId<HTMLInputElement>("background");
    const transparent = byId<HTMLInputElement>("transparent");
    const paint = () => {
      const rgb = [1, 3, 5].map((at) => Number.parseInt(color.value.slice(at, at + 2), 16) / 255);
      this.viewer.background = [...rgb, transparent.checked ? 0 : 1] as unknown as Background;
    };
    color.oninput = paint;
    transparent.onchange = paint;
    byId("front").onclick = () => this.orbit.set(FRONTAL);
    byId("screenshot").onclick = () => this.#saveScreenshot();
    byId<HTMLInputElement>("turntable").onchange = ({ target }) => {
      if ((target as HTMLInputElement).checked) this.#turn();
    };
    let recording: Recording | null = null;
    const record = byId("record");
    record.onclick = () =>
      attempt(async () => {
        if (recording) save(await recording.stop(), "mien.webm");
        recording = recording ? null : new Recording(this.viewer.canvas);
        record.textContent = recording ? "Stop and save" : "Record video";
        record.setAttribute("aria-pressed", String(recording !== null));
      });
  }

  async #saveScreenshot(): Promise<void> {
    await attempt(async () => save(await this.snapshot(SCREENSHOT_SIDE), "mien.png"));
  }

  /** Swing to and fro while the box is ticked. */
  #turn(): void {
    const start = performance.now();
    const swing = (now: number) => {
      if (!byId<HTMLInputElement>("turntable").checked) return;
      const yaw = 0.6 * Math.sin(((now - start) / 1000 / TURN_SECONDS) * 2 * Math.PI);
      this.orbit.set({ ...this.orbit.view, yaw });
      requestAnimationFrame(swing);
    };
    requestAnimationFrame(swing);
  }

  #wireKeys(): void {
    const actions: Record<string, () => void> = {
      "0": () => this.orbit.set(FRONTAL),
      r: () => this.controls.set({}),
      s: () => void this.#saveScreenshot(),
      " ": () => this.#player.toggle(),
    };
    document.addEventListener("keydown", (event) => {
      const busy = event.target instanceof Element && event.target.closest("input, select, button");
      const action = actions[event.key.toLowerCase()];
      if (!action || busy || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      action();
    });
  }

  /** Let another person be seen, from a photo or an avatar file, or a take be played. */
  #wirePeople(): void {
    const token = roomToken();
    const open = async (file: ArrayBuffer, name: string) =>
      this.show(await readAnyAvatar(file), name);
    // In a room everyone sees the same avatar; a new one can only be saved.
    const alone = token === null;
    const panel = carried ? null : new PhotoPanel(token, alone ? open : async () => undefined);
    if (!alone) return;
    const play = (file: ArrayBuffer, name: string) => {
      const take = fitting(file, this.#networks, this.#manifest.networks.motion_weights);
      this.#player.add(name, take);
    };
    const { canvas } = this.viewer;
    canvas.addEventListener("dragover", (event) => event.preventDefault());
    canvas.addEventListener("drop", (event) => {
      event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (!file) return;
      attempt(async () => {
        if (panel && file.type.startsWith("image/")) return panel.encode(file);
        const show = file.name.endsWith(".motion") ? play : open;
        return show(await file.arrayBuffer(), stem(file.name));
      });
    });
  }

  #showFigures(): void {
    const rate = this.viewer.framesPerSecond(performance.now());
    const speed = rate > 0 ? `${rate.toFixed(0)} frames/s` : "still";
    const count = this.viewer.count.toLocaleString("en");
    byId("figures").textContent = `${count} Gaussians · ${this.viewer.engine} · ${speed}`;
  }
}

/** A take that fits; throws where it does not. */
function fitting(buffer: ArrayBuffer, networks: Networks, weights: string): Take {
  const take = readTake(buffer);
  if (take.preset !== networks.preset || take.latentSize !== networks.latentSize) {
    throw new Error(`It was made with another preset ('${take.preset}').`);
  }
  if (take.weights !== weights) {
    throw new Error("It was made with other weights; start `mien view` with --take to show it.");
  }
  return take;
}

async function download(url: string): Promise<ArrayBuffer> {
  return (await found(url)).arrayBuffer();
}

async function found(url: string): Promise<Response> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`The server does not hand out ${url} (${answer.status}).`);
  return answer;
}

declare global {
  interface Window {
    /** For the console and for tests: the running page. */
    mien?: App;
  }
}

/** What a page that was exported to one file carries, as data URLs. */
const carried = document.getElementById("manifest")?.textContent;

/** The page of a person alone: no room. */
async function openAlone(): Promise<void> {
  const manifest = carried ? JSON.parse(carried) : await (await found(MANIFEST_PATH)).json();
  window.mien = await open(manifest, null);
}

/** The page of a room's driver or viewer. */
async function openRoom(token: string): Promise<void> {
  const { socket, welcome } = await join(token);
  socket.addEventListener("close", () => {
    byId("status").textContent = "The room has ended; reload the page to join again.";
  });
  byId("room").hidden = false;
  document.body.classList.toggle("watching", welcome.role === "viewer");
  if (welcome.role === "driver") {
    const link = new URL(welcome.link, location.href).href;
    byId("room-text").textContent = "You drive. Others watch with this link:";
    byId<HTMLInputElement>("link").value = link;
    byId("copy").onclick = () => attempt(() => navigator.clipboard.writeText(link));
    window.mien = await open(welcome.manifest, new Driver(socket));
    return;
  }
  const watcher = new Watcher(socket);
  byId("room-link").hidden = true;
  setInterval(() => {
    const rate = (watcher.rate / 1000).toFixed(1);
    byId("room-text").textContent = `You watch, at ${rate} kbit/s.`;
  }, 1000);
  const app = await open(welcome.manifest, null);
  window.mien = app;
  app.watch(watcher);
}

async function open(manifest: Manifest, driver: Driver | null): Promise<App> {
  const [avatar, networks] = await Promise.all([
    download(manifest.avatar.url).then(readAnyAvatar),
    download(manifest.networks.file.url).then((buffer) =>
      readNetworks(buffer, manifest.networks.gain),
    ),
  ]);
  const app = new App(networks, avatar, manifest, driver);
  await app.show(avatar, manifest.avatar.name);
  return app;
}

const token = roomToken();
attempt(() => (token === null ? openAlone() : openRoom(token)));
