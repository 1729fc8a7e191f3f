/** What is asked for: the fields of a render request, by the API's own names. */

import fields from "./api/fields.json";
import type { Info } from "./api/client";
import type { Size } from "./draw/model";

export interface Wish {
  prompt: string;
  negative_prompt: string;
  /** Id of a style; empty: the one that the sentence finds. */
  style: string;
  style_images: Blob[];
  style_weights: number[];
  /** A picture to begin with, of which `strength` says how much changes; null: none. */
  image: Blob | null;
  strength: number;
  /** null: drawn by the gateway. */
  seed: number | null;
  num_inference_steps: number;
  guidance_scale: number;
  controlnet_conditioning_scale: number;
  control_guidance_start: number;
  control_guidance_end: number;
  ip_adapter_scale: number;
  canny_low_threshold: number;
  canny_high_threshold: number;
  scheduler: string;
  num_images: number;
  width: number;
  height: number;
}

/** Whether the gateway that this page was built for takes a picture to begin with. */
export const TAKES_IMAGES = "strength" in fields;

/** Sizes to enlarge to: `size` by as much as the gateway takes, at most twice as wide. */
export function enlarged({ width, height }: Size, { limits }: Pick<Info, "limits">): Size {
  const most = limits.max_pixels || width * height;
  const scale = Math.min(2, limits.max_side / Math.max(width, height), Math.sqrt(most / (width * height)));
  const whole = (side: number) => Math.floor((side * scale) / limits.side_step) * limits.side_step;
  return { width: Math.max(width, whole(width)), height: Math.max(height, whole(height)) };
}

export type NumberField = {
  [K in keyof Wish & keyof typeof fields]: Wish[K] extends number ? K : never;
}[keyof Wish & keyof typeof fields];

export const DEFAULTS: Wish = {
  prompt: "",
  negative_prompt: "",
  style: "",
  style_images: [],
  style_weights: [],
  image: null,
  strength: 0.6,
  seed: null,
  num_inference_steps: fields.num_inference_steps.default,
  guidance_scale: fields.guidance_scale.default,
  controlnet_conditioning_scale: fields.controlnet_conditioning_scale.default,
  control_guidance_start: fields.control_guidance_start.default,
  control_guidance_end: fields.control_guidance_end.default,
  ip_adapter_scale: fields.ip_adapter_scale.default[0]!,
  canny_low_threshold: fields.canny_low_threshold.default,
  canny_high_threshold: fields.canny_high_threshold.default,
  scheduler: fields.scheduler.default,
  num_images: fields.num_images.default,
  width: 512,
  height: 512,
};

/** The defaults with what `given` has of the right kind, wherever it is from. */
export function wishOf(given: Record<string, unknown>): Wish {
  const wish: Wish = { ...DEFAULTS };
  for (const [name, usual] of Object.entries(wish)) {
    const kind = name === "seed" ? "number" : typeof usual;
    if (typeof given[name] === kind && kind !== "object") Object.assign(wish, { [name]: given[name] });
  }
  return wish;
}

export type Quality = "fast" | "balanced" | "quality";

type Effort = Pick<Wish, "scheduler" | "num_inference_steps" | "guidance_scale">;

export const QUALITIES: Record<Quality, Effort> = {
  fast: { scheduler: "lcm", num_inference_steps: 4, guidance_scale: 1 },
  balanced: {
    scheduler: DEFAULTS.scheduler,
    num_inference_steps: DEFAULTS.num_inference_steps,
    guidance_scale: DEFAULTS.guidance_scale,
  },
  quality: { scheduler: "dpmpp_2m", num_inference_steps: 40, guidance_scale: DEFAULTS.guidance_scale },
};

/** The quality that `wish` is of; none when its numbers are its own. */
export const qualityOf = (wish: Wish): Quality | undefined =>
  (Object.keys(QUALITIES) as Quality[]).find((name) =>
    Object.entries(QUALITIES[name]).every(([field, value]) => wish[field as keyof Effort] === value),
  );

/** The range of `field`, as the gateway checks it. */
export function rangeOf(field: NumberField): { min: number; max: number } {
  const { min, max } = fields[field];
  return { min: min ?? 0, max: max ?? 1 };
}

/** How closely a render keeps to its sketch, 0 to 1, as the fields say it. */
export function fidelityOf(wish: Wish): number {
  return wish.controlnet_conditioning_scale / fields.controlnet_conditioning_scale.max;
}

/** The fields for a fidelity: below a half, the last steps are free as well. */
export function withFidelity(wish: Wish, fidelity: number): Wish {
  const scale = fidelity * fields.controlnet_conditioning_scale.max;
  return {
    ...wish,
    controlnet_conditioning_scale: Math.round(scale * 20) / 20,
    control_guidance_start: 0,
    control_guidance_end: Math.min(1, Math.round((0.5 + fidelity) * 20) / 20),
  };
}

const RATIOS = [1, 4 / 3, 3 / 2, 16 / 9, 2, 3 / 4, 2 / 3, 9 / 16, 1 / 2];

/** Sizes that the gateway takes, one of about its native count of pixels for each usual ratio. */
export function sizesOf({ limits }: Pick<Info, "limits">): Size[] {
  const { min_side, max_side, side_step, native_side, max_pixels } = limits;
  const native = native_side || 512;
  const most = max_pixels || native * native * 4;
  const sides: number[] = [];
  for (let side = min_side; side <= max_side; side += side_step) sides.push(side);
  const all = sides.flatMap((width) => sides.map((height) => ({ width, height })));
  const allowed = all.filter(({ width, height }) => width * height <= most);
  const wanted = [native * native, most].flatMap((area) => RATIOS.map((ratio) => ({ area, ratio })));
  const chosen = wanted.map(({ area, ratio }) => {
    const miss = ({ width, height }: Size) =>
      Math.abs(Math.log(width / height / ratio)) + Math.abs(Math.log((width * height) / area)) / 2;
    return allowed.reduce((best, next) => (miss(next) < miss(best) ? next : best));
  });
  return [...new Set(chosen)];
}

/** `wish` and its sketch, as the gateway reads a form. */
export function formOf(wish: Wish, sketch: Blob, call: Record<string, string>): FormData {
  const form = new FormData();
  form.set("sketch", sketch, "sketch.png");
  const { style_images, style_weights, image, strength, ...plain } = wish;
  for (const [name, value] of Object.entries(plain))
    if (value !== null && value !== "") form.set(name, String(value));
  if (image) {
    form.set("image", image, "image.png");
    form.set("strength", String(strength));
  }
  if (style_images.length) form.delete("style");
  style_images.forEach((image, n) => {
    form.append("style_images", image, `style-${n}`);
    form.append("style_weights", String(style_weights[n] ?? 1));
  });
  for (const [name, value] of Object.entries(call)) form.set(name, value);
  return form;
}
