/** A picture under its mask, and the brush that paints it. */

import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import * as history from "../draw/history";
import { type Mask, blank, brush, copyOf, inverted, pixelsOf } from "../draw/mask";
import { urlOf } from "../files";
import { t } from "../texts";
import { IconButton, Slider } from "./parts";

/** Red, green, blue and opacity of what is painted anew. */
const TINT = [214, 40, 120, 140];
/** The brush's radius at first, and at most, of the longer side. */
const BRUSH = 1 / 16;
const LARGEST = 1 / 3;

export type Steps = history.History<Mask>;

interface PaintingProps {
  image: Blob;
  steps: Signal<Steps>;
  share: number;
}

/** The picture under its mask, with what paints. */
export function Painting({ image, steps, share }: PaintingProps) {
  const { width, height } = steps.value.present;
  const long = Math.max(width, height);
  const canvas = useRef<HTMLCanvasElement>(null);
  const radius = useSignal(Math.max(1, Math.round(long * BRUSH)));
  const erases = useSignal(false);
  const at = useSignal<readonly [number, number] | undefined>(undefined);
  const stroke = useMemo(() => new Stroke(), []);
  const show = (mask: Mask) => canvas.current?.getContext("2d")?.putImageData(pixelsOf(mask, TINT), 0, 0);
  useEffect(() => show(steps.value.present), [steps.value]);
  const spotOf = (event: PointerEvent): [number, number] => {
    const box = canvas.current!.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  const change = (mask: Mask) => (steps.value = history.push(steps.value, mask));
  const share100 = share > 0 ? Math.max(1, Math.round(share * 100)) : 0;
  const ring = at.value && {
    left: `${(100 * (at.value[0] - radius.value)) / width}%`,
    top: `${(100 * (at.value[1] - radius.value)) / height}%`,
    width: `${(200 * radius.value) / width}%`,
    height: `${(200 * radius.value) / height}%`,
  };
  return (
    <div class="painting">
      <div class="actions" role="group" aria-label={t("mask")}>
        {([["pen", "brush", false], ["erase", "erase", true]] as const).map(([icon, label, how]) => (
          <IconButton
            key={icon}
            icon={icon}
            label={t(label)}
            pressed={erases.value === how}
            onClick={() => (erases.value = how)}
          />
        ))}
        <IconButton
          icon="undo"
          label={t("undo")}
          keys="Control+Z"
          disabled={!steps.value.past.length}
          onClick={() => (steps.value = history.undo(steps.value))}
        />
        <IconButton
          icon="redo"
          label={t("redo")}
          keys="Control+Shift+Z"
          disabled={!steps.value.future.length}
          onClick={() => (steps.value = history.redo(steps.value))}
        />
        <IconButton icon="invert" label={t("invert")} onClick={() => change(inverted(steps.value.present))} />
        <IconButton icon="clear" label={t("clearMask")} disabled={!share} onClick={() => change(blank({ width, height }))} />
        <Slider
          label={t("brushSize")}
          value={radius.value}
          min={1}
          max={Math.round(long * LARGEST)}
          step={1}
          onInput={(value) => (radius.value = value)}
        />
      </div>
      <div class="painted" style={{ aspectRatio: `${width} / ${height}`, "--ratio": width / height }}>
        <img src={urlOf(image)} alt={t("picture")} />
        <canvas
          ref={canvas}
          width={width}
          height={height}
          role="img"
          aria-label={t("maskShare", { n: share100 })}
          onPointerDown={(event) => {
            if (event.button || !stroke.begin(event.pointerId, steps.value.present)) return;
            event.currentTarget.setPointerCapture(event.pointerId);
            show(stroke.to(spotOf(event), radius.value, erases.value));
          }}
          onPointerMove={(event) => {
            at.value = event.pointerType === "touch" ? undefined : spotOf(event);
            if (!stroke.isOf(event.pointerId)) return;
            const all = event.getCoalescedEvents?.() ?? [];
            for (const each of all.length ? all : [event]) stroke.to(spotOf(each), radius.value, erases.value);
            stroke.inFrame(show);
          }}
          onPointerUp={(event) => {
            const mask = stroke.end(event.pointerId);
            if (mask) change(mask);
          }}
          onPointerCancel={(event) => {
            if (stroke.end(event.pointerId)) show(steps.value.present);
          }}
          onPointerLeave={() => (at.value = undefined)}
        />
        {ring && <span class="ring" aria-hidden="true" style={ring} />}
      </div>
      <p class="hint" role="status">
        {share ? t("maskShare", { n: share100 }) : t("repaintHow")}
      </p>
    </div>
  );
}

/** What is being painted: one pointer's way over a copy of the mask. */
class Stroke {
  private pointer: number | undefined;
  private mask: Mask | undefined;
  private last: readonly [number, number] | undefined;
  private frame = 0;

  /** Whether it is begun; another finger does not begin a second one. */
  begin(pointer: number, mask: Mask): boolean {
    if (this.mask) return false;
    [this.pointer, this.mask, this.last] = [pointer, copyOf(mask), undefined];
    return true;
  }

  isOf(pointer: number): boolean {
    return this.mask !== undefined && this.pointer === pointer;
  }

  /** The mask once the brush has gone on to `spot`. */
  to(spot: readonly [number, number], radius: number, erases: boolean): Mask {
    brush(this.mask!, this.last ?? spot, spot, radius, erases);
    this.last = spot;
    return this.mask!;
  }

  /** Have the mask as it is by the next frame seen by `show`. */
  inFrame(show: (mask: Mask) => void): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.mask) show(this.mask);
    });
  }

  end(pointer: number): Mask | undefined {
    if (!this.isOf(pointer)) return undefined;
    const { mask } = this;
    this.mask = undefined;
    return mask;
  }
}
