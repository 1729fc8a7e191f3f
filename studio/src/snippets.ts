/** A render as commands that make it again. */

import { DEFAULTS, type Wish } from "./wish";

const PICTURES = ["style_images", "style_weights", "image"];

/** The fields of `wish` that differ from the defaults, and those that always count. */
export function told(wish: Wish): [string, string | number][] {
  const always = ["prompt", "seed", "width", "height"];
  return Object.entries(wish).filter(
    ([name, value]) =>
      !PICTURES.includes(name) &&
      (name !== "strength" || wish.image !== null) &&
      value !== null &&
      value !== "" &&
      (always.includes(name) || value !== DEFAULTS[name as keyof Wish]),
  );
}

const inShell = (text: string): string => `'${text.replace(/'/g, `'\\''`)}'`;

export function curl(wish: Wish, base: string): string {
  // --form-string takes a value as it is, where -F would read a file at an @.
  const fields = told(wish).map(([name, value]) => `--form-string ${inShell(`${name}=${value}`)}`);
  const own = wish.style_images.map((_, n) => `-F style_images=@style-${n + 1}.png`);
  if (wish.image) own.push("-F image=@image.png");
  const parts = ["curl", "-F sketch=@sketch.png", ...fields, ...own, `-o render.json ${inShell(`${base}v1/renders`)}`];
  return parts.join(" \\\n  ");
}

export function python(wish: Wish, host: string): string {
  const literal = (value: unknown) => JSON.stringify(value);
  const fields = told(wish).map(([name, value]) => `        ${name}=${literal(value)},`);
  const own = wish.style_images.map((_, n) => literal(`style-${n + 1}.png`));
  if (own.length) fields.push(`        style_images=[${own.join(", ")}],`);
  if (wish.image) fields.push('        image="image.png",');
  return [
    "from maquette.client import Client",
    "",
    `with Client(${literal(`${host}:8033`)}) as maquette:`,
    "    result = maquette.render(",
    '        sketch="sketch.png",',
    ...fields,
    "    )",
    'result.save("render.png")',
    "",
  ].join("\n");
}
