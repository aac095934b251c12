/** The page: fetches what it is to show, and wires controls to the picture. */

import { type Avatar, readAvatar, readTake, type Take } from "./avatar";
import { Recording, save } from "./capture";
import { Puppet } from "./decode";
import { toArray, type Values } from "./expressions";
import { type Networks, readNetworks } from "./networks";
import { OrbitControls } from "./orbit";
import { attempt, byId } from "./page";
import { type Asset, MANIFEST_PATH, type Manifest } from "./protocol.generated";
import { Driver, join, roomToken, Watcher } from "./room";
import { type Camera, FRONTAL, follow, orbit } from "./scene";
import { ControlPanel } from "./sliders";
import { TakePlayer } from "./take_player";
import { Viewer } from "./viewer";
import type { Background } from "./webgl";

const SCREENSHOT_SIDE = 1024;
const TURN_SECONDS = 8;

/** One avatar, everything that moves it, and the page around it. */
class App {
  readonly viewer: Viewer;
  readonly orbit: OrbitControls;
  readonly controls: ControlPanel;
  readonly #networks: Networks;
  readonly #puppet: Puppet;
  readonly #player: TakePlayer;
  readonly #driver: Driver | null;
  #avatar: Avatar;
  #latent: Float32Array;
  #camera: Camera;

  constructor(
    networks: Networks,
    avatar: Avatar,
    takes: readonly Asset[],
    driver: Driver | null = null,
  ) {
    this.#driver = driver;
    this.#latent = avatar.sourceLatent;
    this.#camera = orbit(FRONTAL, avatar.focal);
    this.#networks = networks;
    this.#puppet = new Puppet(networks);
    this.#avatar = avatar;
    this.viewer = new Viewer(byId<HTMLCanvasElement>("picture"));
    this.#player = new TakePlayer(takes, fetchTake(networks), (latent, camera) => {
      this.tell(latent, camera ?? orbit(this.orbit.view, this.#avatar.focal));
    });
    this.orbit = new OrbitControls(this.viewer.canvas, (view) =>
      this.tell(this.#latent, orbit(view, this.#avatar.focal)),
    );
    this.controls = new ControlPanel((values) => this.#express(values));
    this.#wirePicture();
    this.#wireKeys();
    // In a room everyone sees the same avatar.
    if (roomToken() === null) this.#wireDrop();
    setInterval(() => this.#showFigures(), 500);
  }

  /** Show an avatar and say whose it is. Rejects when it does not fit the networks. */
  async show(avatar: Avatar, name: string): Promise<void> {
    if (
      avatar.preset !== this.#networks.preset ||
      avatar.sourceLatent.length !== this.#networks.latentSize
    ) {
      throw new Error(`It was made with another preset ('${avatar.preset}').`);
    }
    this.#player.stop();
    this.#avatar = avatar;
    this.#player.avatar = avatar;
    await this.viewer.show(this.#networks, avatar);
    this.orbit.set(FRONTAL);
    this.controls.set({});
    byId("name").textContent = name;
    document.title = `${name} · Mien`;
    const consent = avatar.provenance.consent ?? "not stated";
    byId("provenance").textContent = `A synthetic head. Consent of its subject: ${consent}.`;
    await this.viewer.settled();
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

  /** Show this expression as this camera sees it, here and, when driving, to the room. */
  tell(latent: Float32Array, camera: Camera): void {
    if (latent !== this.#latent) this.viewer.express(latent);
    if (camera !== this.#camera) this.viewer.look(camera);
    this.#latent = latent;
    this.#camera = camera;
    this.#driver?.say(latent, camera);
  }

  #express(values: Values): void {
    this.#player.stop();
    const latent = this.#puppet.latent(this.#avatar, toArray(values));
    // A take may have left the camera where its driver's head was.
    this.tell(latent, orbit(this.orbit.view, this.#avatar.focal));
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

  #wireDrop(): void {
    const { canvas } = this.viewer;
    canvas.addEventListener("dragover", (event) => event.preventDefault());
    canvas.addEventListener("drop", (event) => {
      event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (!file) return;
      attempt(async () => this.show(await readAvatar(await file.arrayBuffer()), stem(file.name)));
    });
  }

  #showFigures(): void {
    const rate = this.viewer.framesPerSecond(performance.now());
    const speed = rate > 0 ? `${rate.toFixed(0)} frames/s` : "still";
    byId("figures").textContent = `${this.viewer.count.toLocaleString("en")} Gaussians · ${speed}`;
  }
}

function fetchTake(networks: Networks): (asset: Asset) => Promise<Take> {
  return async (asset) => {
    const take = readTake(await download(asset.url));
    if (take.preset !== networks.preset || take.latentSize !== networks.latentSize) {
      throw new Error(`It was made with another preset ('${take.preset}').`);
    }
    return take;
  };
}

async function download(url: string): Promise<ArrayBuffer> {
  return (await found(url)).arrayBuffer();
}

async function found(url: string): Promise<Response> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`The server does not hand out ${url} (${answer.status}).`);
  return answer;
}

function stem(name: string): string {
  return name.replace(/\.[^.]*$/, "");
}

declare global {
  interface Window {
    /** For the console and for tests: the running page. */
    mien?: App;
  }
}

/** The page of a person alone: no room. */
async function openAlone(): Promise<void> {
  // A page exported to one file carries everything, as data URLs.
  const carried = document.getElementById("manifest")?.textContent;
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
    download(manifest.avatar.url).then(readAvatar),
    download(manifest.networks.file.url).then((buffer) =>
      readNetworks(buffer, manifest.networks.gain),
    ),
  ]);
  const app = new App(networks, avatar, manifest.takes, driver);
  await app.show(avatar, manifest.avatar.name);
  return app;
}

const token = roomToken();
attempt(() => (token === null ? openAlone() : openRoom(token)));
