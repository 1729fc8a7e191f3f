/** What the page knows, as signals; views read them and are drawn anew when they change. */

import { batch, computed, effect, signal } from "@preact/signals";
import * as api from "./api/client";
import { type Drawing, type Size, add, empty, onSheet, sheetFor, type Drawn } from "./draw/model";
import * as history from "./draw/history";
import * as database from "./keep/database";
import type { Kept } from "./keep/database";
import { t } from "./texts";
import { DEFAULTS, type Wish } from "./wish";

export type Tool = "pen" | "line" | "rect" | "arch" | "erase" | "pan";

export const tool = signal<Tool>("pen");
export const lineSize = signal(6);
export const guides = signal({ grid: false, vanishing: false });
export const vanishing = signal<[x: number, y: number][]>([
  [60, 440],
  [964, 440],
]);
/** A picture to trace, which is not sent. */
export const underlay = signal<{ picture: ImageBitmap; file: Blob } | undefined>(undefined);

export const wish = signal<Wish>(DEFAULTS);
export const seedLocked = computed(() => wish.value.seed !== null);
export const live = signal(false);
const steps = signal(history.begin<Drawing>(empty(sheetFor(DEFAULTS))));
export const drawing = computed(() => steps.value.present);
export const canUndo = computed(() => steps.value.past.length > 0);
export const canRedo = computed(() => steps.value.future.length > 0);

export const info = signal<api.Info | undefined>(undefined);
export const styles = signal<api.Style[]>([]);
/** Ids of the styles that stand first. */
export const pins = signal<string[]>([]);
export const renders = signal<Kept[]>([]);
/** The project that new renders belong to; empty: none. */
export const project = signal("");
export const selected = signal<string>("");
export const pane = signal<"draw" | "result">("draw");
/** Whether a key has to be entered first, and why. */
export const locked = signal<string | undefined>(undefined);
export const signedIn = signal(false);
export const online = signal(true);

export interface Notice {
  text: string;
  kind: "info" | "error";
  action?: { label: string; run: () => void };
}
export const notice = signal<Notice | undefined>(undefined);
/** What a screen reader is told of, in passing. */
export const spoken = signal("");

export function tell(text: string, kind: Notice["kind"] = "info", action?: Notice["action"]): void {
  notice.value = action ? { text, kind, action } : { text, kind };
}

/** Show what went wrong, in the gateway's words where it said something. */
export function fail(error: unknown): void {
  if (error instanceof api.ApiError && error.status === 401) locked.value = error.message;
  else if (error instanceof api.ApiError) tell(error.message, "error");
  else if (error instanceof TypeError) {
    online.value = false;
    tell(t("offline"), "error", { label: t("tryAgain"), run: () => void load() });
  } else tell(String(error instanceof Error ? error.message : error), "error");
}

export function draw(element: Drawn): void {
  change(add(drawing.value, element));
}

export function change(next: Drawing): void {
  steps.value = history.push(steps.value, next);
}

export const undo = (): void => void (steps.value = history.undo(steps.value));
export const redo = (): void => void (steps.value = history.redo(steps.value));

export const clear = (): void => {
  if (drawing.value.elements.length) change(empty(drawing.value.sheet));
};

export function set(fields: Partial<Wish>): void {
  wish.value = { ...wish.value, ...fields };
}

export function resize(size: Size): void {
  batch(() => {
    set({ width: size.width, height: size.height });
    const sheet = sheetFor(size);
    const now = drawing.value;
    if (sheet.width === now.sheet.width && sheet.height === now.sheet.height) return;
    // What is blank has nothing to come back to.
    if (now.elements.length) change(onSheet(now, sheet));
    else steps.value = history.begin(empty(sheet));
  });
}

/** Ask the gateway what serves; what it knows decides the page's choices. */
export async function load(): Promise<void> {
  try {
    const found = await api.info();
    batch(() => {
      info.value = found;
      online.value = true;
      locked.value = undefined;
      if (notice.value?.kind === "error") notice.value = undefined;
    });
    [styles.value, signedIn.value] = await Promise.all([api.styles(), api.isSignedIn()]);
  } catch (error) {
    fail(error);
  }
}

export async function reloadStyles(): Promise<void> {
  styles.value = await api.styles();
}

/** Whether who calls may do what `scope` stands for. */
export const may = (scope: "styles" | "admin"): boolean =>
  info.value?.scopes.some((has) => has === scope || has === "admin") ?? false;

export async function reloadRenders(): Promise<void> {
  // What an earlier version of the page kept knows less.
  renders.value = (await database.all()).map((kept) => ({ ...kept, wish: { ...DEFAULTS, ...kept.wish } }));
  if (!renders.value.some(({ id }) => id === selected.value))
    selected.value = renders.value.find(({ state }) => state === "done")?.id ?? "";
}

/** Bring back what the last visit left, and keep what is done from now on; says whether there was one. */
export async function restore(): Promise<boolean> {
  const [savedWish, savedDrawing, savedPins] = await Promise.all([
    database.keptHere<Wish>("wish"),
    database.keptHere<Drawing>("drawing"),
    database.kept<string[]>("pins"),
  ]);
  pins.value = savedPins ?? [];
  project.value = (await database.keptHere<string>("project")) ?? "";
  if (savedWish) wish.value = { ...DEFAULTS, ...savedWish };
  if (savedDrawing) steps.value = history.begin(await withPictures(savedDrawing));
  await reloadRenders();
  later(() => database.keepHere("wish", wish.value), () => wish.value);
  later(() => database.keepHere("drawing", withoutPictures(drawing.value)), () => drawing.value);
  later(() => database.keepHere("project", project.value), () => project.value);
  later(() => database.keep("pins", pins.value), () => pins.value);
  return savedWish !== undefined;
}

/** Run `save` soon after what `watch` reads has changed. */
function later(save: () => Promise<void>, watch: () => unknown): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    watch();
    clearTimeout(timer);
    timer = setTimeout(() => void save().catch(fail), 300);
  });
}

function withoutPictures({ sheet, elements }: Drawing): unknown {
  const kept = elements.map((element) => {
    if (element.kind !== "image") return element;
    const { picture: _, ...rest } = element;
    return rest;
  });
  return { sheet, elements: kept };
}

async function withPictures({ sheet, elements }: Drawing): Promise<Drawing> {
  const whole = elements.map(async (element) =>
    element.kind === "image"
      ? { ...element, picture: await createImageBitmap(element.file) }
      : element,
  );
  return { sheet, elements: await Promise.all(whole) };
}
