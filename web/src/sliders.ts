/** The panel of controls: sliders in groups with search and reset, expressions, the gaze pad. */

import { EXPRESSIONS, gaze, label, type Values } from "./expressions";
import type { ControlName } from "./networks";
import { byId, element } from "./page";
import { CONTROL_GROUPS } from "./protocol.generated";

/** Where a pad's dot is: x to the right, y up, each in [-1, 1]. */
type PadMoved = (x: number, y: number) => void;

/** Holds the values of all controls and tells who listens when they change. */
export class ControlPanel {
  #values: Values = {};
  readonly #changed: (values: Values) => void;
  readonly #rows = new Map<ControlName, { input: HTMLInputElement; output: HTMLOutputElement }>();
  #movePad: PadMoved = () => undefined;

  constructor(changed: (values: Values) => void) {
    this.#changed = changed;
    for (const [group, names] of Object.entries(CONTROL_GROUPS)) {
      const rows = names.map((name) => this.#slider(name));
      byId("sliders").append(element("details", {}, element("summary", {}, group), ...rows));
    }
    for (const [name, values] of Object.entries(EXPRESSIONS)) {
      const button = element("button", { type: "button" }, name);
      button.onclick = () => this.set({ ...values });
      byId("expressions").append(button);
    }
    byId("reset").onclick = () => this.set({});
    byId<HTMLInputElement>("search").oninput = ({ target }) =>
      this.#filter((target as HTMLInputElement).value);
    this.#movePad = pad(byId("gaze"), byId("gaze-dot"), (x, y) => this.#merge(gaze(x, y)));
  }

  /** Set these controls, and all others to zero. */
  set(values: Values): void {
    this.#values = values;
    for (const [name, row] of this.#rows) show(row, values[name] ?? 0);
    const right = (values.eyeLookOutLeft ?? 0) - (values.eyeLookInLeft ?? 0);
    this.#movePad(right, (values.eyeLookUpLeft ?? 0) - (values.eyeLookDownLeft ?? 0));
    this.#changed(this.#values);
  }

  #merge(values: Values): void {
    this.set({ ...this.#values, ...values });
  }

  #slider(name: ControlName): HTMLLabelElement {
    const input = element("input", {
      type: "range",
      min: "0",
      max: "1",
      step: "0.01",
      value: "0",
      id: name,
    });
    const output = element("output", {}, "0");
    input.oninput = () => this.#merge({ [name]: input.valueAsNumber });
    this.#rows.set(name, { input, output });
    return element("label", { className: "slider" }, label(name), input, output);
  }

  #filter(text: string): void {
    const wanted = text.trim().toLowerCase();
    for (const group of byId("sliders").querySelectorAll("details")) {
      let found = 0;
      for (const row of group.querySelectorAll<HTMLElement>(".slider")) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
        if (!row.hidden) found++;
      }
      group.hidden = found === 0;
      group.open = wanted !== "" && found > 0;
    }
  }
}

function show(row: { input: HTMLInputElement; output: HTMLOutputElement }, value: number): void {
  row.input.value = String(value);
  row.output.value = value.toFixed(2).replace(/\.?0+$/, "");
}

/** A pad whose dot follows pointer and arrow keys; returns what moves the dot from outside. */
function pad(area: HTMLElement, dot: HTMLElement, moved: PadMoved): PadMoved {
  let at = { x: 0, y: 0 };
  const place: PadMoved = (x, y) => {
    at = { x, y };
    dot.style.left = `${50 + 50 * x}%`;
    dot.style.top = `${50 - 50 * y}%`;
  };
  const limit = (value: number) => Math.min(1, Math.max(-1, value));
  const point = (event: PointerEvent) => {
    const box = area.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 2 - 1;
    moved(limit(x), limit(1 - ((event.clientY - box.top) / box.height) * 2));
  };
  area.onpointerdown = (event) => {
    area.setPointerCapture(event.pointerId);
    point(event);
  };
  area.onpointermove = (event) => {
    if (area.hasPointerCapture(event.pointerId)) point(event);
  };
  area.onkeydown = (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Home") moved(0, 0);
    else moved(limit(at.x + step[0]), limit(at.y + step[1]));
  };
  return place;
}

const STEPS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-0.1, 0],
  ArrowRight: [0.1, 0],
  ArrowUp: [0, 0.1],
  ArrowDown: [0, -0.1],
  Home: [0, 0],
};
