/** Calming numbers that are measured with noise, without making them lag (Casiez et al. 2012). */

/** Hertz: what is still moves no faster than this lets through. */
const CALM = 3;
/** Hertz for each unit a second that a number moves. */
const LIVELINESS = 30;
/** Hertz: how the speed itself is calmed. */
const SPEED = 1;

/** The 1€ filter over many numbers of one scale. */
export class OneEuro {
  #values: Float32Array | null = null;
  #speeds = new Float32Array(0);
  #before = 0;

  /** The numbers of this moment, calmed; seconds never decrease. */
  next(values: Float32Array, seconds: number): Float32Array {
    const step = seconds - this.#before;
    this.#before = seconds;
    if (!this.#values) {
      this.#speeds = new Float32Array(values.length);
      this.#values = values.slice();
    } else if (step > 0) {
      for (let i = 0; i < values.length; i++) {
        const change = values[i] - this.#values[i];
        this.#speeds[i] += share(SPEED, step) * (change / step - this.#speeds[i]);
        const cutoff = CALM + LIVELINESS * Math.abs(this.#speeds[i]);
        this.#values[i] += share(cutoff, step) * change;
      }
    }
    return this.#values.slice();
  }

  /** Forget what was, as after a gap. */
  reset(): void {
    this.#values = null;
  }
}

/** How much of a change a low-pass of this frequency lets through in a step. */
function share(cutoff: number, step: number): number {
  const rate = 2 * Math.PI * cutoff * step;
  return rate / (rate + 1);
}
