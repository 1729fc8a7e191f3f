/** Lines that snap, and the outlines of what is drawn as SVG path data. */

import { getStroke } from "perfect-freehand";
import type { Drawn, Freehand, Point, Straight } from "./model";

const SNAP_RADIANS = (7 * Math.PI) / 180;
const EIGHTH = Math.PI / 4;

export type Spot = readonly [x: number, y: number];

/**
 * Where a line from `from` to `to` ends once it has snapped: to multiples of 45 degrees, and to the
 * directions of `vanishing` points. One that is near none of them stays.
 */
export function snapped(from: Spot, to: Spot, vanishing: readonly Spot[] = []): Spot {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(dx, dy);
  if (length === 0) return to;
  const angle = Math.atan2(dy, dx);
  const towards = vanishing.map(([x, y]) => Math.atan2(y - from[1], x - from[0]));
  const directions = [
    Math.round(angle / EIGHTH) * EIGHTH,
    ...towards.flatMap((direction) => [direction, direction + Math.PI]),
  ];
  const nearest = directions.reduce((best, next) =>
    between(angle, next) < between(angle, best) ? next : best,
  );
  const off = between(angle, nearest);
  if (off > SNAP_RADIANS) return to;
  const reach = length * Math.cos(off);
  return [from[0] + reach * Math.cos(nearest), from[1] + reach * Math.sin(nearest)];
}

/** The angle between two directions, 0 to pi. */
function between(one: number, other: number): number {
  const turn = Math.abs(one - other) % (2 * Math.PI);
  return Math.min(turn, 2 * Math.PI - turn);
}

export interface Outline {
  /** SVG path data. */
  d: string;
  /** Of the line along the path; 0: the path is filled. */
  lineWidth: number;
}

/** The outline of `element`; none for a picture. */
export function outlineOf(element: Drawn): Outline | undefined {
  switch (element.kind) {
    case "image":
      return undefined;
    case "pen":
    case "erase":
      return { d: freehand(element), lineWidth: 0 };
    default:
      return { d: straight(element), lineWidth: element.size };
  }
}

function freehand({ points, size, pressed, kind }: Freehand): string {
  const even = kind === "erase";
  const around = getStroke(points as unknown as number[][], {
    size,
    // A mouse's speed says little of how a line is meant.
    thinning: even ? 0 : pressed ? 0.6 : 0.2,
    smoothing: 0.5,
    streamline: 0.35,
    simulatePressure: !pressed && !even,
    last: true,
  });
  const [first, ...rest] = around;
  if (!first) return "";
  // Through the middles between the points, which are the curves' controls.
  const curves = rest.map((point, n) => {
    const next = rest[n + 1] ?? first;
    return `Q${short(point[0]!)} ${short(point[1]!)} ${short((point[0]! + next[0]!) / 2)} ${short((point[1]! + next[1]!) / 2)}`;
  });
  return `M${short(first[0]!)} ${short(first[1]!)}${curves.join("")}Z`;
}

function straight({ kind, from, to }: Straight): string {
  const [x0, y0] = [short(from[0]), short(from[1])];
  const [x1, y1] = [short(to[0]), short(to[1])];
  switch (kind) {
    case "line":
      return `M${x0} ${y0}L${x1} ${y1}`;
    case "rect":
      return `M${x0} ${y0}H${x1}V${y1}H${x0}Z`;
    case "arch":
      return arch(from, to);
  }
}

/** An opening with a round head: half a circle over straight sides, or flatter where it is wide. */
function arch(from: Point, to: Point): string {
  const [left, right] = [Math.min(from[0], to[0]), Math.max(from[0], to[0])];
  const [top, foot] = [Math.min(from[1], to[1]), Math.max(from[1], to[1])];
  const radius = (right - left) / 2;
  const rise = Math.min(radius, foot - top);
  const spring = short(top + rise);
  return (
    `M${short(left)} ${short(foot)}V${spring}` +
    `A${short(radius)} ${short(rise)} 0 0 1 ${short(right)} ${spring}V${short(foot)}Z`
  );
}

const short = (number: number): number => Math.round(number * 100) / 100;
