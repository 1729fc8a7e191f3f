/** The sheet on the screen: shows what is drawn, and turns pointers and keys into elements. */

import { effect } from "@preact/signals";
import * as state from "../state";
import { t } from "../texts";
import { type Spot, snapped } from "./geometry";
import { Ink, type View, toUnits } from "./ink";
import { type Drawn, type Point, add } from "./model";
import { Paper } from "./paper";

const HANDLE = 14;
const MARGIN = 20;
/** Pixels for the buttons at the foot, where there is room for both. */
const FOOT = 40;
const ROOMY = 500;
const ERASER = 5;
/** Units that an arrow key moves by. */
const KEY_STEP = 16;

export class Surface {
  private readonly context: CanvasRenderingContext2D;
  private readonly ink = new Ink({ width: 1, height: 1 });
  private readonly paper = new Paper();
  private view: View = { scale: 1, x: 0, y: 0 };
  private fitted = true;
  private drawn: Drawn | undefined;
  /** Of the freehand stroke that is being drawn; they grow as it does. */
  private points: Point[] = [];
  private readonly pointers = new Map<number, Spot>();
  private dragged: number | undefined;
  private panning = false;
  private penSeen = false;
  private space = false;
  private cursor: Spot | undefined;
  private frame = 0;
  private readonly ends: (() => void)[] = [];

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly onStroke: () => void,
  ) {
    this.context = canvas.getContext("2d")!;
    const on = <K extends keyof HTMLElementEventMap>(
      name: K,
      listener: (event: HTMLElementEventMap[K]) => void,
    ) => {
      canvas.addEventListener(name, listener, { passive: false });
    };
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.up(event));
    on("wheel", (event) => this.wheel(event));
    on("keydown", (event) => this.key(event));
    on("keyup", (event) => {
      if (event.key === " ") this.space = false;
    });
    on("blur", () => {
      this.space = false;
      this.request();
    });
    on("focus", () => this.request());
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(canvas);
    this.ends.push(() => observer.disconnect());
    this.ends.push(
      effect(() => {
        const { sheet } = state.drawing.value;
        void [sheet, state.guides.value, state.vanishing.value, state.underlay.value];
        if (this.fitted) this.fit();
        this.request();
      }),
    );
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    for (const end of this.ends) end();
  }

  /** Show the whole sheet. */
  fit(): void {
    const { width, height } = this.canvas.getBoundingClientRect();
    const { sheet } = state.drawing.value;
    const margin = Math.min(MARGIN, width / 20);
    const foot = height > ROOMY ? FOOT : 0;
    const free = height - foot;
    const scale = Math.min((width - 2 * margin) / sheet.width, (free - 2 * margin) / sheet.height);
    if (!(scale > 0)) return;
    this.fitted = true;
    const next = { scale, x: (width - sheet.width * scale) / 2, y: (free - sheet.height * scale) / 2 };
    // The same view is the same object: what was painted for it holds.
    if (String(Object.values(next)) !== String(Object.values(this.view))) this.view = next;
    this.request();
  }

  zoom(factor: number, at?: Spot): void {
    const { width, height } = this.canvas.getBoundingClientRect();
    const [cx, cy] = at ?? [width / 2, height / 2];
    const scale = Math.min(Math.max(this.view.scale * factor, 0.05), 20);
    const change = scale / this.view.scale;
    this.fitted = false;
    this.view = { scale, x: cx - (cx - this.view.x) * change, y: cy - (cy - this.view.y) * change };
    this.request();
  }

  private resize(): void {
    const ratio = devicePixelRatio;
    const { width, height } = this.canvas.getBoundingClientRect();
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.ink.resize(this.canvas);
    this.paper.resize(this.canvas);
    if (this.fitted) this.fit();
    this.show();
  }

  private request(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.show());
  }

  private show(): void {
    const { context, view } = this;
    const { elements, sheet } = state.drawing.value;
    const paper = this.paper.shown(view);
    const ink = this.ink.shown(elements, this.drawn, view);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "copy";
    context.drawImage(paper, 0, 0);
    context.globalCompositeOperation = "source-over";
    context.save();
    toUnits(context, view);
    context.beginPath();
    context.rect(0, 0, sheet.width, sheet.height);
    context.clip();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(ink, 0, 0);
    context.restore();
    toUnits(context, view);
    this.showVanishing();
    this.showCursor();
  }

  private get accent(): string {
    return getComputedStyle(this.canvas).getPropertyValue("--accent");
  }

  private showVanishing(): void {
    if (!state.guides.value.vanishing) return;
    const { context } = this;
    const spots = state.vanishing.value;
    const reach = 4096;
    context.lineWidth = 1 / this.view.scale;
    context.strokeStyle = "rgb(168 69 43 / 0.25)";
    context.beginPath();
    for (const [x, y] of spots) {
      for (let n = 0; n < 24; n++) {
        const angle = (n * Math.PI) / 12;
        context.moveTo(x, y);
        context.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
      }
    }
    context.stroke();
    for (const [x, y] of spots) {
      context.beginPath();
      context.arc(x, y, 6 / this.view.scale, 0, 2 * Math.PI);
      context.fillStyle = this.accent;
      context.fill();
    }
  }

  private showCursor(): void {
    if (!this.cursor || document.activeElement !== this.canvas) return;
    const { context } = this;
    const [x, y] = this.cursor;
    const arm = 14 / this.view.scale;
    context.beginPath();
    context.moveTo(x - arm, y);
    context.lineTo(x + arm, y);
    context.moveTo(x, y - arm);
    context.lineTo(x, y + arm);
    context.lineWidth = 2 / this.view.scale;
    context.strokeStyle = this.accent;
    context.stroke();
  }

  private spotOf(event: MouseEvent): Spot {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  private unitsOf([x, y]: Spot): Spot {
    return [(x - this.view.x) / this.view.scale, (y - this.view.y) / this.view.scale];
  }

  private down(event: PointerEvent): void {
    const spot = this.spotOf(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, spot);
    this.penSeen ||= event.pointerType === "pen";
    this.cursor = undefined;
    if (this.pointers.size > 1) {
      this.drawn = undefined; // a second finger: both move the sheet
      return this.request();
    }
    const isPalm = this.penSeen && event.pointerType === "touch";
    this.panning = isPalm || event.button === 1 || this.space || state.tool.value === "pan";
    if (this.panning || event.button > 1) return;
    const at = this.unitsOf(spot);
    this.dragged = this.handleAt(at);
    if (this.dragged === undefined) this.startAt(this.pointOf(event, at), event.pointerType === "pen");
  }

  private handleAt([x, y]: Spot): number | undefined {
    if (!state.guides.value.vanishing) return undefined;
    const reach = HANDLE / this.view.scale;
    const found = state.vanishing.value.findIndex(([vx, vy]) => Math.hypot(vx - x, vy - y) < reach);
    return found < 0 ? undefined : found;
  }

  private pointOf(event: PointerEvent, [x, y]: Spot): Point {
    return [x, y, event.pointerType === "pen" ? event.pressure : 0.5];
  }

  private startAt(point: Point, pressed: boolean): void {
    const size = state.lineSize.value;
    const kind = state.tool.value;
    if (kind === "pan") return;
    this.points = [point];
    if (kind === "pen") this.drawn = { kind, points: this.points, size, pressed };
    else if (kind === "erase") this.drawn = { kind, points: this.points, size: size * ERASER, pressed };
    else this.drawn = { kind, from: point, to: point, size };
    this.request();
  }

  private move(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const spot = this.spotOf(event);
    if (this.pointers.size > 1) this.pinch(event.pointerId, before, spot);
    else if (this.panning) this.pan(spot[0] - before[0], spot[1] - before[1]);
    else if (this.dragged !== undefined) this.drag(this.unitsOf(spot));
    else if (this.drawn) {
      const all = event.getCoalescedEvents?.() ?? [];
      for (const each of all.length ? all : [event])
        this.continueTo(this.pointOf(each, this.unitsOf(this.spotOf(each))), event.altKey);
    }
    this.pointers.set(event.pointerId, spot);
  }

  private continueTo(point: Point, free: boolean): void {
    const { drawn } = this;
    if (!drawn || drawn.kind === "image") return;
    if ("points" in drawn) this.points.push(point);
    else {
      const towards = state.guides.value.vanishing ? state.vanishing.value : [];
      const from: Spot = [drawn.from[0], drawn.from[1]];
      const [x, y] = drawn.kind === "line" && !free ? snapped(from, [point[0], point[1]], towards) : point;
      this.drawn = { ...drawn, to: [x, y, point[2]] };
    }
    this.request();
  }

  private pinch(id: number, before: Spot, now: Spot): void {
    const other = [...this.pointers].find(([each]) => each !== id)?.[1];
    if (!other) return;
    const far = (spot: Spot) => Math.hypot(spot[0] - other[0], spot[1] - other[1]);
    this.zoom(far(now) / Math.max(far(before), 1), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    this.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  }

  private pan(dx: number, dy: number): void {
    this.fitted = false;
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.request();
  }

  private drag([x, y]: Spot): void {
    state.vanishing.value = state.vanishing.value.map((spot, n) => (n === this.dragged ? [x, y] : spot));
  }

  private up(event: PointerEvent): void {
    this.pointers.delete(event.pointerId);
    this.dragged = undefined;
    if (this.pointers.size) return;
    this.panning = false;
    if (event.type === "pointercancel") this.drawn = undefined;
    this.finish();
  }

  private finish(): void {
    const { drawn } = this;
    this.drawn = undefined;
    this.request();
    if (!drawn || isNothing(drawn)) return;
    state.change(add(state.drawing.value, drawn));
    this.onStroke();
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    if (event.shiftKey || (event.deltaX && !event.ctrlKey)) this.pan(-event.deltaX || -event.deltaY, event.shiftKey ? 0 : -event.deltaY);
    else this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), this.spotOf(event));
  }

  /** Arrows move a cross; Enter sets the pen down and lifts it. Escape forgets the stroke. */
  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows: Record<string, Spot> = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    };
    const arrow = arrows[event.key];
    if (arrow) this.moveCursor(arrow, event.shiftKey ? 4 * KEY_STEP : KEY_STEP);
    else if (event.key === "Enter") this.press();
    else if (event.key === "Escape" && this.drawn) this.drawn = undefined;
    else if (event.key === " ") this.space = true;
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.request();
  }

  private get middle(): Spot {
    const { sheet } = state.drawing.value;
    return [sheet.width / 2, sheet.height / 2];
  }

  private moveCursor([dx, dy]: Spot, step: number): void {
    const { sheet } = state.drawing.value;
    const [x, y] = this.cursor ?? this.middle;
    const within = (value: number, most: number) => Math.min(Math.max(value, 0), most);
    this.cursor = [within(x + dx * step, sheet.width), within(y + dy * step, sheet.height)];
    this.continueTo([this.cursor[0], this.cursor[1], 0.5], true);
    state.spoken.value = t("cursorAt", {
      x: Math.round((100 * this.cursor[0]) / sheet.width),
      y: Math.round((100 * this.cursor[1]) / sheet.height),
    });
  }

  private press(): void {
    this.cursor ??= this.middle;
    if (this.drawn) {
      this.finish();
      state.spoken.value = t("penUp");
    } else {
      this.startAt([this.cursor[0], this.cursor[1], 0.5], false);
      state.spoken.value = t("penDown");
    }
  }
}

/** Whether a stroke has no extent, as a shape that was only clicked. */
const isNothing = (drawn: Drawn): boolean =>
  drawn.kind !== "image" &&
  !("points" in drawn) &&
  Math.hypot(drawn.to[0] - drawn.from[0], drawn.to[1] - drawn.from[1]) < 2;
