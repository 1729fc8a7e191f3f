/** What is asked for: the fields of a render request, by the API's own names. */

import fields from "./api/fields.json";
import profiles from "./api/profiles.json";
import type { Info } from "./api/client";
import type { Size } from "./draw/model";

type Fields = typeof fields;
/** A field as the page was built with it. */
export interface Field {
  help: string;
  /** Of a value, or of each of `several`. */
  kind: string;
  several: boolean;
  choices: (string | number)[];
  max_length: number | null;
  default: unknown;
  min: number | null;
  max: number | null;
}
export const FIELDS: Readonly<Record<string, Field>> = fields;

/** What the page has a control of its own for. */
interface Own {
  prompt: string;
  /** Ids of several styles, which are blended, instead of one. */
  styles: string[];
  style_images: Blob[];
  /** Of the `styles` or `style_images`. */
  style_weights: number[];
  ip_adapter_scale: number;
  /** null: drawn by the gateway. */
  seed: number | null;
  width: number;
  height: number;
  /** A picture to begin with, of which `strength` says how much changes; null: none. */
  image: Blob | null;
  /** null: left to the gateway, which then enlarges a picture as it is. */
  strength: number | null;
  /** Where the image is painted anew, of its size; null: everywhere. */
  mask: Blob | null;
  mask_blur: number;
  control_in_mask: boolean;
  /** Pixels around the image: left, top, right, bottom; or none. */
  pad: number[];
}

/** Fields that are chosen elsewhere; the page sets what the fidelity and the profile stand for. */
const APART = ["style", "preview_interval", "fidelity", "profile"] as const;
type Apart = (typeof APART)[number];

/** Fields of the API that get a control by what it says of them: what it has new is among them. */
export type Listed = Exclude<keyof Fields, keyof Own | Apart>;
type Value<T> = [T] extends [null] ? number | null : [T] extends [readonly never[]] ? readonly (string | number)[] : T;
export type Wish = Own & { style: string } & { [K in Listed]: Value<Fields[K]["default"]> };

const OWN: Own = {
  prompt: "",
  styles: [],
  style_images: [],
  style_weights: [],
  ip_adapter_scale: fields.ip_adapter_scale.default[0]!,
  seed: null,
  width: 512,
  height: 512,
  image: null,
  strength: 0.6,
  mask: null,
  mask_blur: fields.mask_blur.default,
  control_in_mask: fields.control_in_mask.default,
  pad: [],
};

export const LISTED = Object.keys(fields).filter(
  (name) => !(name in OWN) && !(APART as readonly string[]).includes(name),
) as Listed[];

export const DEFAULTS = {
  ...OWN,
  style: fields.style.default,
  ...Object.fromEntries(LISTED.map((name) => [name, fields[name].default])),
} as Wish;

/** The defaults with what `given` has of the right kind, wherever it is from. */
export function wishOf(given: Record<string, unknown>): Wish {
  const wish = { ...DEFAULTS };
  for (const name of Object.keys(wish)) {
    const value = given[name];
    if (fits(name, value)) Object.assign(wish, { [name]: value });
  }
  if (wish.style_weights.length !== wish.styles.length) wish.style_weights = [];
  return wish;
}

/** Whether `value` could be one of the field `name`, other than a picture or what belongs to one. */
function fits(name: string, value: unknown): boolean {
  if (name === "prompt") return typeof value === "string";
  const field = FIELDS[name];
  if (!field) return false;
  const kind = { str: "string", bool: "boolean" }[field.kind] ?? "number";
  const one = (each: unknown) => typeof each === kind;
  return Array.isArray(DEFAULTS[name as keyof Wish]) ? Array.isArray(value) && value.every(one) : one(value);
}

/** The size of a render of `size` with `pad` pixels around it, as far as the gateway takes it. */
export function padded({ width, height }: Size, pad: readonly number[], { limits }: Pick<Info, "limits">): Size {
  const [left = 0, top = 0, right = 0, bottom = 0] = pad;
  const [wide, high] = [left + width + right, top + height + bottom];
  const most = limits.max_pixels || wide * high;
  const scale = Math.min(1, limits.max_side / Math.max(wide, high), Math.sqrt(most / (wide * high)));
  const round = scale < 1 ? Math.floor : Math.round;
  const whole = (side: number) => Math.max(limits.min_side, round((side * scale) / limits.side_step) * limits.side_step);
  return { width: whole(wide), height: whole(high) };
}

export type Quality = keyof typeof profiles;

type Effort = (typeof profiles)[Quality];

/** The API's profiles, field by field: the page shows them and lets each be changed. */
export const QUALITIES: Record<Quality, Effort> = profiles;

/** The quality that `wish` is of; none when its numbers are its own. */
export const qualityOf = (wish: Wish): Quality | undefined =>
  (Object.keys(QUALITIES) as Quality[]).find((name) =>
    Object.entries(QUALITIES[name]).every(([field, value]) => wish[field as keyof Effort] === value),
  );

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

export type Told = [name: string, value: string | number | boolean | readonly (string | number)[]];

const PICTURES = ["style_images", "image", "mask"];
/** Which fields say nothing without an image, and which without a mask or a margin. */
const WITH_IMAGE = ["strength", "pad"];
const WITH_MASK = ["mask_blur", "control_in_mask"];
const ALWAYS = ["prompt", "seed", "width", "height", "strength"];

export const repaints = ({ image, mask, pad }: Wish): boolean => image !== null && (mask !== null || pad.some(Boolean));

/** Which ways to name a style are not the one that counts. */
function stylesLeft({ style_images, styles }: Wish): string[] {
  if (style_images.length) return ["style", "styles"];
  return styles.length ? ["style"] : ["style_weights"];
}

/** The fields of `wish` without its pictures: those that differ from the defaults, or always count. */
export function told(wish: Wish): Told[] {
  const left = [
    ...PICTURES,
    ...(wish.image ? [] : WITH_IMAGE),
    ...(repaints(wish) ? [] : WITH_MASK),
    ...stylesLeft(wish),
  ];
  const says = ([name, value]: [string, unknown]) =>
    !left.includes(name) &&
    value !== null &&
    value !== "" &&
    (ALWAYS.includes(name) || String(value) !== String(DEFAULTS[name as keyof Wish]));
  return Object.entries(wish).filter(says) as Told[];
}

/** `wish` and its sketch, as the gateway reads a form. */
export function formOf(wish: Wish, sketch: Blob, call: Record<string, string>): FormData {
  const form = new FormData();
  form.set("sketch", sketch, "sketch.png");
  for (const [name, value] of told(wish))
    for (const each of [value].flat()) form.append(name, String(each));
  if (wish.image) form.set("image", wish.image, "image.png");
  if (wish.image && wish.mask) form.set("mask", wish.mask, "mask.png");
  wish.style_images.forEach((image, n) => form.append("style_images", image, `style-${n}`));
  for (const [name, value] of Object.entries(call)) form.set(name, value);
  return form;
}
