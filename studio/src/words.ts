/** Scores in words. */

import type { Texts } from "./texts/en";

/** Of a render's edges against its sketch's, F1 with a tolerance of 2 pixels. */
export function structureWords(f1: number): keyof Texts {
  if (f1 >= 0.75) return "structureClose";
  if (f1 >= 0.5) return "structureWell";
  if (f1 >= 0.25) return "structureLoose";
  return "structureLost";
}

/** Of a sentence against a style's picture: CLIP's cosine, which stays far below 1. */
export function styleWords(score: number | null): keyof Texts {
  if (score === null) return "styleChosen";
  if (score >= 0.25) return "styleNear";
  if (score >= 0.15) return "styleFair";
  return "styleFar";
}
