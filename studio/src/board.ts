/** Renders beside their sketches on one sheet, as a PNG. */

import { at } from "./api/client";
import { canvasOf, pngOf } from "./draw/paint";
import { save } from "./files";
import * as database from "./keep/database";
import type { Kept } from "./keep/database";

const CELL = 512;
const GAP = 32;
const CAPTION = 72;
const FONT = "system-ui, sans-serif";

/** Save a board of `renders`: a row for each, with its sketch, its style and its pictures. */
export async function saveBoard(renders: Kept[]): Promise<void> {
  const rows = await Promise.all(renders.map(async (kept) => ({ kept, pictures: await picturesOf(kept) })));
  const columns = Math.max(...rows.map(({ pictures }) => pictures.length));
  const width = GAP + columns * (CELL + GAP);
  const height = GAP + rows.length * (CELL + CAPTION + GAP);
  const [canvas, context] = canvasOf({ width, height });
  context.fillStyle = "#fbfaf7";
  context.fillRect(0, 0, width, height);
  rows.forEach(({ kept, pictures }, row) => {
    const top = GAP + row * (CELL + CAPTION + GAP);
    pictures.forEach((picture, column) => {
      const scale = Math.min(CELL / picture.width, CELL / picture.height);
      const [wide, high] = [picture.width * scale, picture.height * scale];
      const left = GAP + column * (CELL + GAP);
      context.drawImage(picture, left + (CELL - wide) / 2, top + (CELL - high) / 2, wide, high);
    });
    context.fillStyle = "#1d1f21";
    context.font = `600 22px ${FONT}`;
    context.fillText(kept.wish.prompt, GAP, top + CELL + 32, width - 2 * GAP);
    context.fillStyle = "#5a5e63";
    context.font = `17px ${FONT}`;
    const facts = [kept.style?.name, `seed ${kept.images.map(({ seed }) => seed).join(", ")}`, kept.id];
    context.fillText(facts.filter(Boolean).join("  ·  "), GAP, top + CELL + 60, width - 2 * GAP);
  });
  save(await pngOf(canvas), "board.png");
}

async function picturesOf(kept: Kept): Promise<ImageBitmap[]> {
  const own = await Promise.all([
    database.picture(kept.id, "sketch"),
    styleOf(kept),
    ...kept.images.map((_, n) => database.picture(kept.id, n)),
  ]);
  return Promise.all(own.filter((blob) => blob !== undefined).map((blob) => createImageBitmap(blob)));
}

/** The style's picture; none where it was taken out of the library meanwhile. */
async function styleOf({ style, wish }: Kept): Promise<Blob | undefined> {
  if (wish.style_images[0]) return wish.style_images[0];
  if (!style?.id) return undefined;
  const response = await fetch(at(`v1/styles/${encodeURIComponent(style.id)}/image`));
  return response.ok ? response.blob() : undefined;
}
