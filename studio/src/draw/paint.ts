/** From what is drawn to pixels and to SVG; the screen and what is sent go through the same lines. */

import { outlineOf } from "./geometry";
import type { Drawing, Drawn, Size } from "./model";

type Context = CanvasRenderingContext2D;

const paths = new WeakMap<Drawn, Path2D>();

function pathOf(element: Drawn): Path2D | undefined {
  let path = paths.get(element);
  const outline = path ? undefined : outlineOf(element);
  if (outline) paths.set(element, (path = new Path2D(outline.d)));
  return path;
}

/** Draw `elements` in black where `context` is clear; its transform takes units to pixels. */
export function paint(context: Context, elements: readonly Drawn[]): void {
  for (const element of elements) {
    context.save();
    context.globalCompositeOperation = element.kind === "erase" ? "destination-out" : "source-over";
    context.fillStyle = context.strokeStyle = "#000";
    context.lineCap = context.lineJoin = "round";
    if (element.kind === "image") {
      context.drawImage(element.picture, element.x, element.y, element.width, element.height);
    } else {
      const path = pathOf(element)!;
      if (element.kind === "pen" || element.kind === "erase") context.fill(path);
      else {
        context.lineWidth = element.size;
        context.stroke(path);
      }
    }
    context.restore();
  }
}

export function canvasOf({ width, height }: Size): [HTMLCanvasElement, Context] {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return [canvas, canvas.getContext("2d")!];
}

/** `drawing` in black on white, `size` pixels, whatever the screen's pixel ratio. */
export function rasterised(drawing: Drawing, size: Size): HTMLCanvasElement {
  const [ink, inkContext] = canvasOf(size);
  inkContext.scale(size.width / drawing.sheet.width, size.height / drawing.sheet.height);
  inkContext.imageSmoothingQuality = "high";
  paint(inkContext, drawing.elements);
  const [paper, context] = canvasOf(size);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, size.width, size.height);
  context.drawImage(ink, 0, 0);
  return paper;
}

export function pngOf(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no PNG"))), "image/png");
  });
}

/** `drawing` as an SVG file. What was erased is masked, so that it stays lines. */
export function svgOf({ sheet, elements }: Drawing, inline: (file: Blob) => string): string {
  let content = "";
  let masks = "";
  let erased = 0;
  for (const element of elements) {
    if (element.kind === "image") {
      const { x, y, width, height, file } = element;
      content += `<image href="${inline(file)}" x="${x}" y="${y}" width="${width}" height="${height}"/>`;
      continue;
    }
    const { d, lineWidth } = outlineOf(element)!;
    if (element.kind === "erase") {
      const all = `<rect width="${sheet.width}" height="${sheet.height}" fill="#fff"/>`;
      masks += `<mask id="e${++erased}" maskUnits="userSpaceOnUse" x="0" y="0" width="${sheet.width}" height="${sheet.height}">${all}<path d="${d}"/></mask>`;
      content = `<g mask="url(#e${erased})">${content}</g>`;
    } else {
      content += lineWidth
        ? `<path d="${d}" fill="none" stroke="#000" stroke-width="${lineWidth}" stroke-linecap="round" stroke-linejoin="round"/>`
        : `<path d="${d}"/>`;
    }
  }
  const { width, height } = sheet;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">` +
    `<defs>${masks}</defs>${content}</svg>\n`
  );
}
