/** A mask as it is sent: a byte per pixel of its picture, which is painted anew or kept. */

import { canvasOf, pngOf } from "./paint";
import type { Size } from "./model";

export const PAINTED = 255;
const KEPT = 0;

export interface Mask extends Size {
  readonly data: Uint8Array;
}

/** Pixels from the upper left corner on. */
export interface Box extends Size {
  left: number;
  top: number;
}

type Spot = readonly [x: number, y: number];

export const blank = ({ width, height }: Size): Mask => ({ width, height, data: new Uint8Array(width * height) });

export const copyOf = (mask: Mask): Mask => ({ ...mask, data: mask.data.slice() });

export const inverted = (mask: Mask): Mask => ({ ...mask, data: mask.data.map((value) => PAINTED - value) });

/** How much of the picture is painted anew, 0 to 1. */
export function shareOf({ data }: Mask): number {
  let painted = 0;
  for (const value of data) painted += value && 1;
  return painted / data.length;
}

/**
 * Draw the brush, a disc of `radius` pixels, from `from` to `to` into `mask`: every pixel of which
 * the middle is under it, and no pixel by half.
 */
export function brush(mask: Mask, from: Spot, to: Spot, radius: number, erases: boolean): void {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const long = dx * dx + dy * dy;
  const within = (value: number, most: number) => Math.min(Math.max(Math.floor(value), 0), most);
  const left = within(Math.min(from[0], to[0]) - radius, mask.width);
  const right = within(Math.max(from[0], to[0]) + radius + 1, mask.width);
  const top = within(Math.min(from[1], to[1]) - radius, mask.height);
  const foot = within(Math.max(from[1], to[1]) + radius + 1, mask.height);
  for (let row = top; row < foot; row++)
    for (let column = left; column < right; column++) {
      const [x, y] = [column + 0.5 - from[0], row + 0.5 - from[1]];
      const along = long ? Math.min(Math.max((x * dx + y * dy) / long, 0), 1) : 0;
      if ((x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius * radius)
        mask.data[row * mask.width + column] = erases ? KEPT : PAINTED;
    }
}

/** `mask` with the rectangle `box`, as far as it is inside. */
export function withBox(mask: Mask, { left, top, width, height }: Box, erases: boolean): Mask {
  const next = copyOf(mask);
  for (let row = Math.max(top, 0); row < Math.min(top + height, mask.height); row++) {
    const start = row * mask.width;
    const [first, last] = [Math.max(left, 0), Math.min(left + width, mask.width)];
    if (first < last) next.data.fill(erases ? KEPT : PAINTED, start + first, start + last);
  }
  return next;
}

/** `mask` in `colour`, red, green, blue and opacity; clear, or in `rest`, where the picture is kept. */
export function pixelsOf({ width, height, data }: Mask, colour: number[], rest = [0, 0, 0, 0]): ImageData {
  const image = new ImageData(width, height);
  const whole = new Uint32Array(image.data.buffer);
  const packed = (of: number[]) => new Uint32Array(Uint8Array.from(of).buffer)[0]!;
  const [painted, kept] = [packed(colour), packed(rest)];
  for (let n = 0; n < data.length; n++) whole[n] = data[n] ? painted : kept;
  return image;
}

/** White where the picture is painted anew, black where it is kept. */
export function fileOf(mask: Mask): Promise<Blob> {
  const [canvas, context] = canvasOf(mask);
  context.putImageData(pixelsOf(mask, [255, 255, 255, 255], [0, 0, 0, 255]), 0, 0);
  return pngOf(canvas);
}
