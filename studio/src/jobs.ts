/** Renders on their way: begun, followed through reloads and lost connections, cancelled, kept. */

import { batch, computed, signal } from "@preact/signals";
import * as api from "./api/client";
import { begin, follow, type RenderEvent } from "./api/events";
import { isBlank, type Drawing } from "./draw/model";
import { canvasOf, pngOf, rasterised } from "./draw/paint";
import * as database from "./keep/database";
import type { Kept, Which } from "./keep/database";
import * as state from "./state";
import { t } from "./texts";
import { QUALITIES, formOf, type Wish } from "./wish";

export interface Running {
  id: string;
  step: number;
  steps: number;
  previews: string[];
  style: string;
  /** Whether the gateway knows it; before that it cannot be cancelled there. */
  accepted: boolean;
  /** How many renders wait before it; null when it does not wait, or that is not known. */
  ahead: number | null;
  cancelling: boolean;
}

/** What is being painted for this page. */
export const running = signal<Running | undefined>(undefined);
export const busy = computed(() => running.value !== undefined);

/** The newest picture of the live mode, which is not kept unless asked. */
export const livePicture = signal<{ kept: Kept; pictures: [Which, Blob][] } | undefined>(undefined);

const THUMBNAIL = 192;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;
const QUEUE_EVERY = 1000;
const UNKNOWN = 404;
const VARIATIONS = 4;
/** Other tabs: what one of them keeps or cancels is so in all. */
const others = new BroadcastChannel("maquette-studio");
others.onmessage = ({ data }: MessageEvent<{ cancelled?: string }>) => {
  const now = running.value;
  if (now && data.cancelled === now.id) running.value = { ...now, cancelling: true };
  void state.reloadRenders();
};

/** Render what is drawn as it is asked for now. */
export async function render(): Promise<void> {
  const { wish, drawing, selected } = state;
  if (busy.value) return;
  if (!wish.value.prompt.trim()) return state.tell(t("saySomething"), "error");
  if (isBlank(drawing.value)) return state.tell(t("drawSomething"), "error");
  await start(wish.value, sketchOf(drawing.value, wish.value), selected.value);
}

/** Render again what `kept` was asked for, but for what is `changed`, with the sketch that it had. */
export async function again(kept: Kept, changed: Partial<Wish> = {}): Promise<void> {
  const sketch = await database.picture(kept.id, "sketch");
  if (sketch && !busy.value) await start({ ...kept.wish, ...changed }, Promise.resolve(sketch), kept.id);
}

/** The style that `kept` had, by its id where it is the library's. */
export const styleOf = ({ wish, style }: Kept): string =>
  wish.style_images.length || wish.styles.length ? "" : wish.style || (style?.id ?? "");

/** Render what `kept` was asked for with other seeds, in the style that it had. */
export const vary = (kept: Kept): Promise<void> =>
  again(kept, { style: styleOf(kept), seed: null, num_images: VARIATIONS });

/** Have the picture `n` of `kept` twice as wide and high, and otherwise as it is. */
export async function enlarge(kept: Kept, n: number): Promise<void> {
  const image = await database.picture(kept.id, n);
  const seed = kept.images[n]?.seed ?? null;
  const plain = { mask: null, pad: [], strength: null, upscale: 2, num_images: 1 };
  if (image) await again(kept, { ...plain, image, seed, style: styleOf(kept) });
}

/** Paint a part of the picture `image` of `kept`, or what is around it, anew. */
export async function repaint(kept: Kept, image: Blob, changed: Partial<Wish> & Pick<Wish, "pad">): Promise<void> {
  const sketch = await database.picture(kept.id, "sketch");
  if (!sketch || busy.value) return;
  const wish = { ...kept.wish, style: styleOf(kept), seed: null, num_images: 1, image, ...changed };
  await start(wish, widened(sketch, image, wish.pad), kept.id);
}

/** `sketch` with as much paper around it as `pad` has pixels around its picture. */
async function widened(sketch: Blob, image: Blob, pad: readonly number[]): Promise<Blob> {
  const [left = 0, top = 0, right = 0, bottom = 0] = pad;
  if (!pad.some(Boolean)) return sketch;
  const [drawn, { width, height }] = await Promise.all([createImageBitmap(sketch), createImageBitmap(image)]);
  const [canvas, context] = canvasOf({ width: left + width + right, height: top + height + bottom });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(drawn, left, top, width, height);
  return pngOf(canvas);
}

export const sketchOf = (drawing: Drawing, { width, height }: Wish): Promise<Blob> =>
  pngOf(rasterised(drawing, { width, height }));

async function start(wish: Wish, drawn: Promise<Blob>, from: string): Promise<void> {
  const kept = fresh(wish, from);
  // At once, so that a second press finds it.
  running.value = waitingFor(kept);
  state.pane.value = "result";
  if (state.notice.value?.kind === "info" && !state.notice.value.action) state.notice.value = undefined;
  try {
    const sketch = await drawn;
    await database.put(kept, [["sketch", sketch]]);
    await state.reloadRenders();
    state.selected.value = kept.id;
    await see(kept, sketch);
  } finally {
    running.value = undefined;
  }
}

const waitingFor = ({ id, wish }: Kept): Running => ({
  id, step: -1, steps: wish.num_inference_steps, previews: [], style: "", accepted: false, ahead: null,
  cancelling: false,
});

/** Find what was being painted when the page was left. */
export async function resume(): Promise<void> {
  for (const kept of state.renders.value.filter(({ state }) => state === "running")) {
    state.selected.value = kept.id;
    running.value = waitingFor(kept);
    await see(kept, undefined);
  }
}

/** Cancel what is being painted: at once or, where the gateway does not know it yet, as soon as it does. */
export async function cancel(): Promise<void> {
  const now = running.value;
  if (!now) return;
  running.value = { ...now, cancelling: true };
  others.postMessage({ cancelled: now.id });
  if (now.accepted) await cancelThere(now.id);
}

async function cancelThere(id: string): Promise<void> {
  try {
    await api.cancel(id);
  } catch (error) {
    // To be pressed again.
    if (running.value?.id === id) running.value = { ...running.value, cancelling: false };
    state.fail(error);
  }
}

function fresh(wish: Wish, from: string): Kept {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  const id = `studio-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  const project = state.project.value;
  const start = { id, created: Date.now(), state: "running", wish, from, favourite: false, project } as const;
  return { ...start, images: [], seconds: 0, warnings: [], versions: {}, error: "" };
}

/** Follow `kept` to its end and keep what comes of it. */
async function see(kept: Kept, sketch: Blob | undefined): Promise<void> {
  state.spoken.value = t("renderBegun");
  try {
    const pictures = await followed(kept, sketch, true);
    kept.state = "done";
    kept.thumbnail = await thumbnailOf(pictures.find(([which]) => which === 0)![1]);
    await database.put(kept, pictures);
    state.spoken.value = t("renderDone");
  } catch (error) {
    if (running.value?.cancelling) {
      await database.remove(kept.id);
      state.spoken.value = t("renderCancelled");
    } else {
      kept.state = "failed";
      kept.error = error instanceof Error ? error.message : String(error);
      await database.put(kept);
      state.fail(error);
    }
  } finally {
    running.value = undefined;
    others.postMessage({});
    await state.reloadRenders();
  }
}

/**
 * The pictures of `kept`, which is filled in as events come. A connection that is lost is made
 * again, and events go on where they stopped. A gateway that does not know the render any more,
 * because it was started anew, gets it once more.
 *
 * @param drawn not given where the render was begun before.
 */
async function followed(kept: Kept, drawn: Blob | undefined, persist: boolean): Promise<[Which, Blob][]> {
  let last = -1;
  let wait = FIRST_WAIT;
  let sketch = drawn;
  let again = false;
  for (let begun = !sketch; ; ) {
    try {
      const form = () =>
        formOf(kept.wish, sketch!, { id: kept.id, keep_running: String(persist), preview_interval: "2" });
      for await (const event of begun ? follow(kept.id, last) : begin(form(), kept.id)) {
        begun = true;
        wait = FIRST_WAIT;
        last = event.id;
        state.online.value = true;
        if (event.name === "error")
          throw new api.ApiError(event.body.detail, event.body.status, event.body.field ?? "");
        if (event.name === "result") return await finish(kept, event.body);
        note(kept, event);
      }
    } catch (error) {
      if (begun && !again && error instanceof api.ApiError && error.status === UNKNOWN) {
        sketch ??= await database.picture(kept.id, "sketch");
        if (!sketch) throw error;
        [begun, again, last] = [false, true, -1];
        state.tell(t("beginsAgain"));
      } else if (error instanceof TypeError)
        state.online.value = false; // it is fetch's "no connection"
      else throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(2 * wait, LONGEST_WAIT);
  }
}

function note(kept: Kept, event: RenderEvent): void {
  const now = running.value;
  if (now?.id !== kept.id) return;
  if (event.name === "accepted") {
    running.value = { ...now, accepted: true };
    if (now.cancelling) void cancelThere(now.id);
    void watchQueue(now.id);
  } else if (event.name === "style") {
    const { style, score } = event.body;
    kept.style = { id: style.id, name: style.name, score: score ?? null };
    running.value = { ...now, style: style.name };
  } else if (event.name === "progress") {
    const { step, steps, previews } = event.body;
    running.value = { ...now, step, steps, previews: previews?.length ? previews : now.previews };
  }
}

/** Ask for the place in the queue for as long as the render `id` waits. */
async function watchQueue(id: string): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, QUEUE_EVERY));
    if (running.value?.id !== id || running.value.step >= 0) return;
    const ahead = await api.ahead(id).catch(() => null);
    if (running.value?.id === id) running.value = { ...running.value, ahead };
  }
}

async function finish(kept: Kept, body: api.RenderBody): Promise<[Which, Blob][]> {
  kept.images = (body.images ?? []).map(({ seed, structure_f1, clip_score, style_score }) => ({
    seed, structure: structure_f1, sentence: clip_score, style: style_score,
  }));
  kept.seconds = body.timings?.total ?? 0;
  kept.warnings = body.warnings ?? [];
  kept.versions = body.versions ?? {};
  if (body.style) {
    const { style, score } = body.style;
    kept.style = { id: style.id, name: style.name, score: score ?? null };
  }
  const pictures: [Which, Blob][] = (body.images ?? []).map(({ png }, n) => [n, fromBase64(png ?? "")]);
  const edges = body.links["control_image"];
  if (edges) pictures.push(["edges", await (await api.call(edges)).blob()]);
  return pictures;
}

function fromBase64(png: string): Blob {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

async function thumbnailOf(picture: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(picture);
  const scale = THUMBNAIL / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
  const [canvas, context] = canvasOf({ width, height });
  context.drawImage(bitmap, 0, 0, width, height);
  return pngOf(canvas);
}

let waiting = false;
let painting = false;

/** The live mode: render fast what is drawn now, after what is being painted; the last wins. */
export async function renderLive(): Promise<void> {
  waiting = true;
  if (painting || busy.value) return;
  painting = true;
  try {
    while (waiting && state.live.value) {
      waiting = false;
      await paintLive();
    }
  } finally {
    painting = false;
  }
}

async function paintLive(): Promise<void> {
  const wish = { ...state.wish.value, ...QUALITIES.fast, num_images: 1 };
  const drawing = state.drawing.value;
  if (!wish.prompt.trim() || isBlank(drawing)) return;
  const kept = fresh(wish, "");
  running.value = waitingFor(kept);
  try {
    const sketch = await sketchOf(drawing, wish);
    const pictures = await followed(kept, sketch, false);
    livePicture.value = { kept, pictures: [["sketch", sketch], ...pictures] };
  } catch (error) {
    if (!running.value?.cancelling) state.fail(error);
  } finally {
    running.value = undefined;
  }
}

/** Keep the picture of the live mode as a render of its own. */
export async function keepLive(): Promise<void> {
  const now = livePicture.value;
  if (!now) return;
  const { kept, pictures } = now;
  kept.state = "done";
  kept.thumbnail = await thumbnailOf(pictures.find(([which]) => which === 0)![1]);
  await database.put(kept, pictures);
  await state.reloadRenders();
  batch(() => {
    livePicture.value = undefined;
    state.selected.value = kept.id;
  });
}
