/** A render as commands that make it again. */

import { type Told, type Wish, told } from "./wish";

const begunWith = ({ image, mask }: Wish): string[] => (image ? ["image", ...(mask ? ["mask"] : [])] : []);

const inShell = (text: string): string => `'${text.replace(/'/g, `'\\''`)}'`;

export function curl(wish: Wish, base: string): string {
  // --form-string takes a value as it is, where -F would read a file at an @.
  const fields = told(wish).flatMap(([name, value]) =>
    [value].flat().map((each) => `--form-string ${inShell(`${name}=${each}`)}`),
  );
  const own = wish.style_images.map((_, n) => `-F style_images=@style-${n + 1}.png`);
  for (const name of begunWith(wish)) own.push(`-F ${name}=@${name}.png`);
  const parts = ["curl", "-F sketch=@sketch.png", ...fields, ...own, `-o render.json ${inShell(`${base}v1/renders`)}`];
  return parts.join(" \\\n  ");
}

export function python(wish: Wish, host: string): string {
  const literal = (value: Told[1]) =>
    typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
  const fields = told(wish).map(([name, value]) => `        ${name}=${literal(value)},`);
  const own = wish.style_images.map((_, n) => literal(`style-${n + 1}.png`));
  if (own.length) fields.push(`        style_images=[${own.join(", ")}],`);
  for (const name of begunWith(wish)) fields.push(`        ${name}="${name}.png",`);
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
