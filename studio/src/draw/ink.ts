/** The ink on the screen: what is done is painted once, and of a stroke on its way only the end anew. */

import type { Drawn, Freehand, Point, Size } from "./model";
import { canvasOf, paint } from "./paint";

/** Points that are painted for good at a time, and that a piece has in common with the one before. */
const PIECE = 48;
const LAP = 8;

export interface View {
  scale: number;
  x: number;
  y: number;
}

/** Have `context` take the sheet's units to pixels of the screen. */
export function toUnits(context: CanvasRenderingContext2D, { scale, x, y }: View): void {
  const ratio = devicePixelRatio;
  context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
}

type Layer = ReturnType<typeof canvasOf>;

export class Ink {
  /** What is done; that with the begun stroke but for its end; all of it. */
  private done!: Layer;
  private begun!: Layer;
  private whole!: Layer;
  private elements: readonly Drawn[] = [];
  private view: View | undefined;
  /** Of the stroke on its way, and how many of them are painted for good. */
  private points: readonly Point[] | undefined;
  private settled = 0;

  constructor(size: Size) {
    this.resize(size);
  }

  resize(size: Size): void {
    [this.done, this.begun, this.whole] = [canvasOf(size), canvasOf(size), canvasOf(size)];
    this.view = this.points = undefined;
  }

  /** `elements` and what is being `drawn` as they are seen in `view`. */
  shown(elements: readonly Drawn[], drawn: Drawn | undefined, view: View): HTMLCanvasElement {
    this.finish(elements, view);
    if (!drawn) return this.done[0];
    const isLong = "points" in drawn;
    if (isLong) this.settle(drawn);
    copy(isLong ? this.begun : this.done, this.whole);
    toUnits(this.whole[1], view);
    paint(this.whole[1], [isLong ? piece(drawn, this.settled) : drawn]);
    return this.whole[0];
  }

  /** Paint what is new of `elements`, or all where the view or anything before changed. */
  private finish(elements: readonly Drawn[], view: View): void {
    if (view === this.view && elements === this.elements) return;
    const [canvas, context] = this.done;
    const isMore = view === this.view && this.elements.every((one, n) => one === elements[n]);
    if (!isMore) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
    }
    toUnits(context, view);
    paint(context, isMore ? elements.slice(this.elements.length) : elements);
    [this.elements, this.view, this.points] = [elements, view, undefined];
  }

  /** Paint what lies well behind the end of `drawn`, which grows, for good. */
  private settle(drawn: Freehand): void {
    if (this.points !== drawn.points) {
      copy(this.done, this.begun);
      [this.points, this.settled] = [drawn.points, 0];
    }
    toUnits(this.begun[1], this.view!);
    for (; drawn.points.length - this.settled > 2 * PIECE; this.settled += PIECE)
      paint(this.begun[1], [piece(drawn, this.settled, this.settled + PIECE)]);
  }
}

const piece = (drawn: Freehand, from: number, to?: number): Freehand => ({
  ...drawn,
  points: drawn.points.slice(Math.max(0, from - LAP), to),
});

function copy([from]: Layer, [, context]: Layer): void {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalCompositeOperation = "copy";
  context.drawImage(from, 0, 0);
  context.globalCompositeOperation = "source-over";
}
