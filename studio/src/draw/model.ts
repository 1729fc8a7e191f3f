/** What is drawn: elements on a sheet, in units of which the longer side of a sheet has 1024. */

export const LONG_SIDE = 1024;

/** Pressure is 0 to 1. */
export type Point = readonly [x: number, y: number, pressure: number];

export interface Freehand {
  kind: "pen" | "erase";
  points: readonly Point[];
  size: number;
  /** Whether the pressure is a pen's own; a mouse has its speed taken for it. */
  pressed: boolean;
}

export interface Straight {
  kind: "line" | "rect" | "arch";
  from: Point;
  to: Point;
  size: number;
}

export interface Placed {
  kind: "image";
  picture: ImageBitmap;
  /** The file, which survives a reload. */
  file: Blob;
  x: number;
  y: number;
  width: number;
  height: number;
}

export type Drawn = Freehand | Straight | Placed;

export interface Sheet {
  width: number;
  height: number;
}

export interface Drawing {
  sheet: Sheet;
  elements: readonly Drawn[];
}

export interface Size {
  width: number;
  height: number;
}

/** The sheet for renders of `size` pixels. */
export function sheetFor({ width, height }: Size): Sheet {
  const scale = LONG_SIDE / Math.max(width, height);
  return { width: width * scale, height: height * scale };
}

export const empty = (sheet: Sheet): Drawing => ({ sheet, elements: [] });

export const add = (drawing: Drawing, element: Drawn): Drawing => ({
  ...drawing,
  elements: [...drawing.elements, element],
});

/** `drawing` on another sheet, with what is drawn at the same distance from the middle. */
export function onSheet(drawing: Drawing, sheet: Sheet): Drawing {
  const dx = (sheet.width - drawing.sheet.width) / 2;
  const dy = (sheet.height - drawing.sheet.height) / 2;
  if (!dx && !dy) return { ...drawing, sheet };
  return { sheet, elements: drawing.elements.map((element) => moved(element, dx, dy)) };
}

function moved(element: Drawn, dx: number, dy: number): Drawn {
  const move = ([x, y, pressure]: Point): Point => [x + dx, y + dy, pressure];
  switch (element.kind) {
    case "image":
      return { ...element, x: element.x + dx, y: element.y + dy };
    case "pen":
    case "erase":
      return { ...element, points: element.points.map(move) };
    default:
      return { ...element, from: move(element.from), to: move(element.to) };
  }
}

/** Where a picture of `size` fills as much of `sheet` as it can, in the middle. */
export function fitted(size: Size, sheet: Sheet): { x: number; y: number } & Size {
  const scale = Math.min(sheet.width / size.width, sheet.height / size.height);
  const [width, height] = [size.width * scale, size.height * scale];
  return { x: (sheet.width - width) / 2, y: (sheet.height - height) / 2, width, height };
}

/** Whether nothing is drawn that could be seen. */
export const isBlank = (drawing: Drawing): boolean =>
  drawing.elements.every((element) => element.kind === "erase");
