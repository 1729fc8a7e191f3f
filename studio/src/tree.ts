/** Renders by what came from what, and what was changed each time. */

import type { Kept } from "./keep/database";
import type { Texts } from "./texts/en";
import { LISTED, type Wish } from "./wish";

/** A render and what was made from it, in the order of time. */
export interface Branch {
  kept: Kept;
  before: Kept | undefined;
  after: Branch[];
}

/** `renders`, which are the newest first, as trees of which the newest comes first as well. */
export function treesOf(renders: readonly Kept[]): Branch[] {
  const branches = new Map(
    renders.map((kept) => [kept.id, { kept, before: undefined, after: [] } as Branch]),
  );
  const trees: Branch[] = [];
  for (const branch of branches.values()) {
    const origin = branches.get(branch.kept.from);
    branch.before = origin?.kept;
    // What was imported may name itself or what is younger.
    if (origin && origin.kept.created < branch.kept.created) origin.after.unshift(branch);
    else trees.push(branch);
  }
  return trees;
}

const LABELS: [keyof Texts, (keyof Wish)[]][] = [
  ["sentenceShort", ["prompt", "negative_prompt"]],
  ["style", ["style", "styles", "style_images", "style_weights", "ip_adapter_scale"]],
  ["fidelityShort", ["controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end"]],
  ["quality", ["num_inference_steps", "scheduler", "guidance_scale"]],
  ["size", ["width", "height"]],
  ["edges", ["canny_low_threshold", "canny_high_threshold"]],
  ["num_images", ["num_images"]],
];

/** What `kept` was begun with, as a key of texts; nothing where it was begun with noise. */
export function begunWith({ wish: { image, mask, pad, strength, upscale } }: Kept): keyof Texts | undefined {
  if (!image) return undefined;
  if (mask) return "repainted";
  if (upscale > 1 && strength === null) return "enlarged";
  return pad.some(Boolean) ? "extended" : "base";
}

const LABELLED = LABELS.flatMap(([, fields]) => fields);

/** What was asked for otherwise than before, as keys of texts or names of fields. */
export function changes(kept: Kept, before: Kept): string[] {
  const differs = (field: keyof Wish) => String(kept.wish[field]) !== String(before.wish[field]);
  const changed = LABELS.filter(([, fields]) => fields.some(differs)).map(([label]) => label as string);
  changed.push(...LISTED.filter((field) => !LABELLED.includes(field) && differs(field)));
  return kept.images[0]?.seed === before.images[0]?.seed ? changed : [...changed, "seed"];
}
