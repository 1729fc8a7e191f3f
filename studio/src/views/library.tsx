/** The style library for who may change it: add pictures, tag them, take them out. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import * as api from "../api/client";
import { PICTURES, picturesIn } from "../files";
import * as state from "../state";
import { t } from "../texts";
import { Dialog, IconButton } from "./parts";

const tagsIn = (text: string): string[] => text.split(",").map((tag) => tag.trim()).filter(Boolean);

/** The name that a file proposes for a style. */
const nameOf = (file: File): string => file.name.replace(/\.[^.]*$/, "").replace(/[-_]+/g, " ").slice(0, 60);

let last: Promise<void> = Promise.resolve();

/** Do `work` with the style `id` once what was asked for before is done. */
function inTurn(id: string, work: (style: api.Style) => Promise<void>): void {
  last = last.then(async () => {
    const style = state.styles.value.find((each) => each.id === id);
    if (style) await work(style);
  }).catch(state.fail);
}

async function remove(style: api.Style): Promise<void> {
  const picture = await api.stylePicture(style);
  await api.removeStyle(style.id);
  await state.reloadStyles();
  const bringBack = () =>
    void api.addStyle(style.name, style.tags, picture).then(state.reloadStyles).catch(state.fail);
  state.tell(t("styleRemoved", { name: style.name }), "info", { label: t("restoreIt"), run: bringBack });
}

async function retag(style: api.Style, tags: string[]): Promise<void> {
  if (tags.join() === style.tags.join()) return;
  await api.addStyle(style.name, tags, await api.stylePicture(style), true);
  await state.reloadStyles();
}

export function Library({ onClose }: { onClose: () => void }) {
  const tags = useSignal("");
  const said = useSignal<string[]>([]);
  const file = useRef<HTMLInputElement>(null);
  const addAll = async (files: File[]) => {
    said.value = [];
    for (const each of files) {
      try {
        const style = await api.addStyle(nameOf(each), tagsIn(tags.value), each);
        said.value = [...said.value, t("styleAdded", { name: style.name })];
      } catch (error) {
        said.value = [...said.value, `${each.name}: ${error instanceof Error ? error.message : String(error)}`];
      }
    }
    await state.reloadStyles();
  };
  const take = (files: File[]) => void addAll(files).catch(state.fail);
  return (
    <Dialog title={t("library")} onClose={onClose} wide>
      <div
        class="drop"
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          event.stopPropagation();
          take(picturesIn(event.dataTransfer));
        }}
      >
        <p>{t("dropStyles")}</p>
        <label class="field">
          <span class="field-head">{t("tagsOfNew")}</span>
          <input value={tags.value} onInput={(event) => (tags.value = event.currentTarget.value)} />
        </label>
        <button type="button" onClick={() => file.current?.click()}>
          {t("chooseFiles")}
        </button>
        <input
          ref={file}
          type="file"
          hidden
          multiple
          accept={PICTURES}
          aria-label={t("chooseFiles")}
          onChange={({ currentTarget }) => {
            take([...(currentTarget.files ?? [])]);
            currentTarget.value = "";
          }}
        />
      </div>
      <div role="status">
        {said.value.map((line) => (
          <p key={line}>{line}</p>
        ))}
      </div>
      <ul class="shelf">
        {state.styles.value.map((style) => (
          <li key={`${style.id} ${style.sha256}`}>
            <img src={api.at(style.thumbnail)} alt="" loading="lazy" />
            <label class="field">
              <span class="field-head">{style.name}</span>
              <input
                aria-label={t("tagsOf", { name: style.name })}
                value={style.tags.join(", ")}
                onChange={({ currentTarget: { value } }) => inTurn(style.id, (now) => retag(now, tagsIn(value)))}
              />
            </label>
            <IconButton
              icon="clear"
              label={t("removeStyle", { name: style.name })}
              onClick={() => inTurn(style.id, remove)}
            />
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
