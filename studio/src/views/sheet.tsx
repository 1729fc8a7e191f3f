/** The sheet and its tools. */

import { useEffect, useRef } from "preact/hooks";
import exampleUrl from "../../../examples/sketches/town-house.png?url";
import { Surface } from "../draw/surface";
import { PICTURES, picturesIn, place, savePng, saveSvg, take } from "../files";
import { renderLive } from "../jobs";
import * as state from "../state";
import { t } from "../texts";
import { type IconName, IconButton } from "./parts";

export const TOOLS: { tool: state.Tool; icon: IconName; keys: string }[] = [
  { tool: "pen", icon: "pen", keys: "P" },
  { tool: "line", icon: "line", keys: "L" },
  { tool: "rect", icon: "rect", keys: "R" },
  { tool: "arch", icon: "arch", keys: "A" },
  { tool: "erase", icon: "erase", keys: "E" },
  { tool: "pan", icon: "pan", keys: "H" },
];

const SIZES = [
  ["thin", 3],
  ["medium", 6],
  ["thick", 12],
] as const;

/** The surface there is, for the buttons around it. */
export const surface: { current: Surface | undefined } = { current: undefined };

/** Elsewhere a browser opens files instead of a camera. */
const HANDHELD = matchMedia("(pointer: coarse)").matches;

export function toggle(name: "grid" | "vanishing"): void {
  const { guides } = state;
  guides.value = { ...guides.value, [name]: !guides.value[name] };
}

const strokeEnded = (): void => {
  if (state.live.value) void renderLive();
};

export function undo(): void {
  state.undo();
  strokeEnded();
}

export function redo(): void {
  state.redo();
  strokeEnded();
}

export async function takeExample(): Promise<void> {
  const response = await fetch(exampleUrl);
  await place(await response.blob());
  if (!state.wish.value.prompt) state.set({ prompt: t("sentenceHint") });
  document.getElementById("sentence")?.focus();
}

export function Tools() {
  const { guides, tool } = state;
  return (
    <div class="tools" role="toolbar" aria-label={t("tools")} aria-orientation="vertical">
      {TOOLS.map((each) => (
        <IconButton
          key={each.tool}
          icon={each.icon}
          label={t(each.tool)}
          keys={each.keys}
          pressed={tool.value === each.tool}
          onClick={() => (tool.value = each.tool)}
        />
      ))}
      <div class="sizes" role="group" aria-label={t("lineSize")}>
        {SIZES.map(([name, size]) => (
          <button
            type="button"
            key={name}
            class={`icon-button size-${name}`}
            aria-label={`${t("lineSize")}: ${t(name)}`}
            title={t(name)}
            aria-pressed={state.lineSize.value === size}
            onClick={() => (state.lineSize.value = size)}
          >
            <span />
          </button>
        ))}
      </div>
      <hr />
      <IconButton icon="undo" label={t("undo")} keys="Control+Z" disabled={!state.canUndo.value} onClick={undo} />
      <IconButton icon="redo" label={t("redo")} keys="Control+Shift+Z" disabled={!state.canRedo.value} onClick={redo} />
      <IconButton icon="clear" label={t("clear")} disabled={!state.drawing.value.elements.length} onClick={state.clear} />
      <hr />
      <IconButton icon="grid" label={t("grid")} keys="G" pressed={guides.value.grid} onClick={() => toggle("grid")} />
      <IconButton icon="vanishing" label={t("vanishing")} keys="V" pressed={guides.value.vanishing} onClick={() => toggle("vanishing")} />
      <hr />
      <Take icon="open" label={t("open")} />
      {HANDHELD && <Take icon="camera" label={t("camera")} capture="environment" />}
      <IconButton icon="png" label={t("exportPng")} onClick={() => void savePng()} />
      <IconButton icon="svg" label={t("exportSvg")} onClick={() => void saveSvg()} />
    </div>
  );
}

interface TakeProps {
  icon: IconName;
  label: string;
  capture?: "environment";
}

/** A button that brings a picture in: a file's, or the camera's of what is held in the hand. */
function Take({ icon, label, capture }: TakeProps) {
  const file = useRef<HTMLInputElement>(null);
  return (
    <>
      <IconButton icon={icon} label={label} onClick={() => file.current?.click()} />
      <input
        ref={file}
        type="file"
        hidden
        accept={PICTURES}
        capture={capture}
        aria-label={label}
        onChange={(event) => {
          const [chosen] = event.currentTarget.files ?? [];
          if (chosen) void take(chosen).catch(state.fail);
          event.currentTarget.value = "";
        }}
      />
    </>
  );
}

export function Sheet() {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const made = new Surface(canvas.current!, strokeEnded);
    surface.current = made;
    return () => {
      made.dispose();
      surface.current = undefined;
    };
  }, []);
  const blank = !state.drawing.value.elements.length && !state.underlay.value;
  return (
    <section
      class="sheet"
      aria-label={t("sketch")}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        const [dropped] = picturesIn(event.dataTransfer);
        if (dropped) void take(dropped).catch(state.fail);
        else state.tell(t("notAPicture"), "error");
      }}
    >
      <canvas
        ref={canvas}
        id="sheet"
        tabIndex={0}
        role="application"
        aria-label={t("sheet")}
        class={`tool-${state.tool.value}`}
      />
      {blank && (
        <div class="invitation">
          <p>{t("dropHere")}</p>
          <small>{t("dropHint")}</small>
          <button type="button" onClick={() => void takeExample().catch(state.fail)}>
            {t("example")}
          </button>
        </div>
      )}
      <div class="zoom" role="group" aria-label={t("zoom")}>
        {state.underlay.value && (
          <button type="button" class="quiet" onClick={() => (state.underlay.value = undefined)}>
            {t("removeTrace")}
          </button>
        )}
        <IconButton icon="minus" label={t("zoomOut")} keys="-" onClick={() => surface.current?.zoom(0.8)} />
        <IconButton icon="fit" label={t("fit")} keys="0" onClick={() => surface.current?.fit()} />
        <IconButton icon="plus" label={t("zoomIn")} keys="+" onClick={() => surface.current?.zoom(1.25)} />
      </div>
    </section>
  );
}
