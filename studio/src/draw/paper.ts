/** What lies under the ink: the sheet with its shadow, what is traced, and the grid. */

import * as state from "../state";
import { type View, toUnits } from "./ink";
import type { Size } from "./model";
import { canvasOf } from "./paint";

const GRID = 64;

/** A picture of the sheet without ink, painted anew when what is on it changes. */
export class Paper {
  private layer = canvasOf({ width: 1, height: 1 });
  private painted: readonly unknown[] = [];

  resize(size: Size): void {
    this.layer = canvasOf(size);
    this.painted = [];
  }

  /** The sheet as it is seen in `view`. */
  shown(view: View): HTMLCanvasElement {
    const [paper, context] = this.layer;
    const { sheet } = state.drawing.value;
    const now = [view, sheet, state.guides.value.grid, state.underlay.value];
    if (now.every((one, n) => one === this.painted[n])) return paper;
    this.painted = now;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, paper.width, paper.height);
    context.save();
    toUnits(context, view);
    context.fillStyle = "#fff";
    context.shadowColor = "rgb(0 0 0 / 0.22)";
    context.shadowBlur = 14 * devicePixelRatio;
    context.shadowOffsetY = 3 * devicePixelRatio;
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.shadowColor = "transparent";
    context.beginPath();
    context.rect(0, 0, sheet.width, sheet.height);
    context.clip();
    showUnderlay(context);
    if (state.guides.value.grid) showGrid(context, view.scale);
    context.restore();
    return paper;
  }
}

function showUnderlay(context: CanvasRenderingContext2D): void {
  const under = state.underlay.value;
  if (!under) return;
  const { sheet } = state.drawing.value;
  const { width, height } = under.picture;
  const scale = Math.min(sheet.width / width, sheet.height / height);
  context.globalAlpha = 0.35;
  context.drawImage(
    under.picture,
    (sheet.width - width * scale) / 2,
    (sheet.height - height * scale) / 2,
    width * scale,
    height * scale,
  );
  context.globalAlpha = 1;
}

function showGrid(context: CanvasRenderingContext2D, scale: number): void {
  const { sheet } = state.drawing.value;
  context.beginPath();
  for (let x = GRID; x < sheet.width; x += GRID) {
    context.moveTo(x, 0);
    context.lineTo(x, sheet.height);
  }
  for (let y = GRID; y < sheet.height; y += GRID) {
    context.moveTo(0, y);
    context.lineTo(sheet.width, y);
  }
  context.lineWidth = 1 / scale;
  context.strokeStyle = "rgb(36 80 122 / 0.22)";
  context.stroke();
}
