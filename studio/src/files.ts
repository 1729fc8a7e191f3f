/** Pictures that come in, by drop, paste or choice, and files that go out. */

import { fitted, onSheet, sheetFor, type Size } from "./draw/model";
import { rasterised, pngOf, svgOf } from "./draw/paint";
import { recall } from "./png";
import * as state from "./state";
import { t } from "./texts";

export const PICTURES = "image/png,image/jpeg,image/webp";

/** Take `file` as a sketch; a render of maquette brings its settings and its sketch back. */
export async function take(file: Blob): Promise<void> {
  const recalled = await recall(file);
  if (recalled) {
    state.wish.value = recalled.wish;
    const size = { width: recalled.wish.width, height: recalled.wish.height };
    if (recalled.sketch) await place(recalled.sketch, size);
    else state.resize(size);
    return state.tell(t("recalled"));
  }
  const before = state.drawing.value;
  if (!(await place(file))) return;
  state.tell(t("placed"), "info", {
    label: t("traceOnly"),
    run: () => void trace(file).then(() => state.change(before)),
  });
}

/** Put the picture `file` on the sheet, instead of what is there when a `size` comes with it. */
export async function place(file: Blob, size?: Size): Promise<boolean> {
  const picture = await decode(file);
  if (!picture) return false;
  const now = state.drawing.value;
  const sheet = size ? sheetFor(size) : now.sheet;
  const { elements } = size ? { elements: [] } : onSheet(now, sheet);
  const image = { kind: "image", picture, file, ...fitted(picture, sheet) } as const;
  state.change({ sheet, elements: [...elements, image] });
  return true;
}

/** Lay the picture `file` under the sheet. */
export async function trace(file: Blob): Promise<void> {
  const picture = await decode(file);
  if (!picture) return;
  state.underlay.value = { picture, file };
  state.tell(t("tracing"));
}

async function decode(file: Blob): Promise<ImageBitmap | undefined> {
  try {
    return await createImageBitmap(file);
  } catch {
    state.tell(t("notAPicture"), "error");
    return undefined;
  }
}

/** The pictures among what was dropped or pasted. */
export const picturesIn = (data: DataTransfer | null): File[] =>
  [...(data?.files ?? [])].filter(({ type }) => type.startsWith("image/") || type === "");

export async function savePng(): Promise<void> {
  const { width, height } = state.wish.value;
  save(await pngOf(rasterised(state.drawing.value, { width, height })), "sketch.png");
}

export async function saveSvg(): Promise<void> {
  const inlined = new Map<Blob, string>();
  for (const element of state.drawing.value.elements)
    if (element.kind === "image") inlined.set(element.file, await dataUrl(element.file));
  const svg = svgOf(state.drawing.value, (file) => inlined.get(file) ?? "");
  save(new Blob([svg], { type: "image/svg+xml" }), "sketch.svg");
}

function dataUrl(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error("not read"));
    reader.readAsDataURL(file);
  });
}

export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const urls = new WeakMap<Blob, string>();

/** A URL of `blob` for as long as the page is there. */
export function urlOf(blob: Blob): string {
  let url = urls.get(blob);
  if (!url) urls.set(blob, (url = URL.createObjectURL(blob)));
  return url;
}
