/** What made a picture, out of the picture: the chunk that maquette writes into its PNGs. */

import { type Wish, repaints, wishOf } from "./wish";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const KEYWORD = "maquette";
const MAX_BYTES = 64 * 2 ** 20;

export interface Recalled {
  wish: Wish;
  sketch: Blob | undefined;
}

/** What `file` says of how it was made; nothing when it is no render, or damaged. */
export async function recall(file: Blob): Promise<Recalled | undefined> {
  if (file.size > MAX_BYTES) return undefined;
  try {
    const text = textIn(new Uint8Array(await file.arrayBuffer()));
    return text === undefined ? undefined : read(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** The text of the chunk iTXt that has our keyword. */
export function textIn(bytes: Uint8Array): string | undefined {
  if (SIGNATURE.some((byte, n) => bytes[n] !== byte)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = SIGNATURE.length; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = latin(bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, at + 8 + length);
    if (data.length < length) return undefined;
    // After the keyword: no compression, no language, no translated keyword.
    const head = `${KEYWORD}\0\0\0\0\0`;
    if (kind === "iTXt" && latin(data.subarray(0, head.length)) === head)
      return new TextDecoder("utf-8", { fatal: true }).decode(data.subarray(head.length));
    at += 12 + length;
  }
  return undefined;
}

const latin = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

interface Document {
  parameters: Record<string, unknown>;
  style: string | null;
  style_images: { weight: number; png?: string | null; style?: string | null }[];
  sketch?: Held;
  image?: Held;
  mask?: Held;
}

interface Held {
  png?: string | null;
}

/** What the gateway takes for `strength` where it was left out. */
const STRENGTH = 0.8;

function read({ parameters, style, style_images, sketch, image, mask }: Document): Recalled {
  const wish = wishOf({ ...parameters, ip_adapter_scale: first(parameters["ip_adapter_scale"]) });
  wish.style = typeof style === "string" ? style : "";
  const own = wish.style ? [] : style_images.filter(({ png }) => png);
  wish.style_images = own.map(({ png }) => pngOf(png!));
  wish.style_weights = own.map(({ weight }) => Number(weight));
  const blended = style_images.filter(({ style }) => style);
  if (blended.length > 1) {
    wish.styles = blended.map(({ style }) => String(style));
    wish.style_weights = blended.map(({ weight }) => Number(weight));
  }
  wish.image = image?.png ? pngOf(image.png) : null;
  wish.mask = mask?.png ? pngOf(mask.png) : null;
  if (!("strength" in parameters)) wish.strength = repaints(wish) ? 1 : STRENGTH;
  return { wish, sketch: sketch?.png ? pngOf(sketch.png) : undefined };
}

const first = (value: unknown): unknown => (Array.isArray(value) ? value[0] : value);

function pngOf(base64: string): Blob {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}
