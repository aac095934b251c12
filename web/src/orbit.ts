/** Turning and zooming by mouse, touch and keyboard. */

import { dragged, FRONTAL, type Viewpoint, zoomed } from "./scene";

/** Keeps the viewpoint and tells who listens when it changes. */
export class OrbitControls {
  #view: Viewpoint = FRONTAL;
  readonly #changed: (view: Viewpoint) => void;
  readonly #pointers = new Map<number, { x: number; y: number }>();

  constructor(area: HTMLElement, changed: (view: Viewpoint) => void) {
    this.#changed = changed;
    area.addEventListener("pointerdown", (event) => {
      area.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    for (const end of ["pointerup", "pointercancel"] as const) {
      area.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
    area.addEventListener("pointermove", (event) => this.#move(event, area));
    area.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.set(zoomed(this.#view, Math.exp(-event.deltaY / 600)));
      },
      { passive: false },
    );
    area.addEventListener("keydown", (event) => this.#key(event, area));
  }

  get view(): Viewpoint {
    return this.#view;
  }

  set(view: Viewpoint): void {
    this.#view = view;
    this.#changed(view);
  }

  #move(event: PointerEvent, area: HTMLElement): void {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId);
    this.#pointers.set(event.pointerId, now);
    if (others.length === 0) {
      const side = Math.min(area.clientWidth, area.clientHeight);
      this.set(dragged(this.#view, now.x - before.x, now.y - before.y, side));
    } else {
      const [, other] = others[0];
      const spread = (p: { x: number; y: number }) => Math.hypot(p.x - other.x, p.y - other.y);
      this.set(zoomed(this.#view, spread(now) / Math.max(spread(before), 1)));
    }
  }

  #key(event: KeyboardEvent, area: HTMLElement): void {
    const side = Math.min(area.clientWidth, area.clientHeight);
    const step = side / 24;
    const moves: Record<string, () => Viewpoint> = {
      ArrowLeft: () => dragged(this.#view, -step, 0, side),
      ArrowRight: () => dragged(this.#view, step, 0, side),
      ArrowUp: () => dragged(this.#view, 0, -step, side),
      ArrowDown: () => dragged(this.#view, 0, step, side),
      "+": () => zoomed(this.#view, 1.1),
      "=": () => zoomed(this.#view, 1.1),
      "-": () => zoomed(this.#view, 1 / 1.1),
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.set(move());
  }
}
