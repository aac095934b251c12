/** Ready-made expressions, and the two axes of the gaze pad. */

import { CONTROL_NAMES, type ControlName } from "./networks";

export type Values = Partial<Record<ControlName, number>>;

export const EXPRESSIONS: Readonly<Record<string, Values>> = {
  Smile: both({ mouthSmile: 0.8, cheekSquint: 0.4, eyeSquint: 0.2 }),
  Laugh: { ...both({ mouthSmile: 0.9, cheekSquint: 0.7, eyeSquint: 0.5 }), jawOpen: 0.4 },
  Surprise: { ...both({ eyeWide: 0.9, browOuterUp: 0.8 }), browInnerUp: 0.9, jawOpen: 0.4 },
  Sadness: { ...both({ mouthFrown: 0.8 }), browInnerUp: 0.9, mouthShrugLower: 0.4 },
  Anger: both({ browDown: 1, eyeSquint: 0.4, noseSneer: 0.5, mouthPress: 0.6 }),
  Disgust: both({ noseSneer: 0.9, mouthUpperUp: 0.6, browDown: 0.5, eyeSquint: 0.4 }),
  Kiss: { mouthPucker: 1, mouthFunnel: 0.2 },
  Wink: { eyeBlinkLeft: 1, mouthSmileLeft: 0.5, cheekSquintLeft: 0.5 },
  "Eyes closed": both({ eyeBlink: 1 }),
  Speak: { jawOpen: 0.3, mouthFunnel: 0.4, mouthLowerDownLeft: 0.3, mouthLowerDownRight: 0.3 },
};

type Sided<Name> = Name extends `${infer Stem}Left` ? Stem : never;

/** The same on both sides. */
function both(values: Partial<Record<Sided<ControlName>, number>>): Values {
  return Object.fromEntries(
    Object.entries(values).flatMap(([stem, value]) => [
      [`${stem}Left`, value],
      [`${stem}Right`, value],
    ]),
  );
}

/** Where both eyes look: x to the picture's right, y up, each in [-1, 1]. */
export function gaze(x: number, y: number): Values {
  const [right, left] = [Math.max(x, 0), Math.max(-x, 0)];
  const [up, down] = [Math.max(y, 0), Math.max(-y, 0)];
  return {
    eyeLookOutLeft: right,
    eyeLookInRight: right,
    eyeLookInLeft: left,
    eyeLookOutRight: left,
    ...both({ eyeLookUp: up, eyeLookDown: down }),
  };
}

/** Values by name as the array that the controls' shapes are in order with. */
export function toArray(values: Values): Float32Array {
  return Float32Array.from(CONTROL_NAMES, (name) => values[name] ?? 0);
}

/** "mouthSmileLeft" as people read it: "Mouth smile left". */
export function label(name: ControlName): string {
  const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return words[0].toUpperCase() + words.slice(1);
}
