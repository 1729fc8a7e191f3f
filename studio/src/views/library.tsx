/** The style library for who may change it: add pictures, tag them, take them out. */

import { signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import * as api from "../api/client";
import { PICTURES, picturesIn } from "../files";
import * as state from "../state";
import { t } from "../texts";
import { Dialog, IconButton } from "./parts";

const tagsIn = (text: string): string[] => text.split(",").map((tag) => tag.trim()).filter(Boolean);

/** Characters of a style's name. */
const NAME = 80;

/** The name that a file proposes for a style. */
const nameOf = (file: File): string => file.name.replace(/\.[^.]*$/, "").replace(/[-_]+/g, " ").slice(0, NAME);

/** The id of a style called `name`, as the library makes it. */
const idOf = (name: string): string =>
  (name.normalize("NFKD").replace(/[^\0-\x7f]/g, "").toLowerCase().match(/[a-z0-9]+/g) ?? []).join("-");

/** What was done, or why it was not. */
const said = signal<string[]>([]);
/** How often something was refused: what was typed goes back to what is. */
const refused = signal(0);

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

let last: Promise<void> = Promise.resolve();

/** Do `work` with the style `id` once what was asked for before is done. */
function inTurn(id: string, work: (style: api.Style) => Promise<void>): void {
  last = last.then(async () => {
    const style = state.styles.value.find((each) => each.id === id);
    if (style) await work(style);
  }).catch((error: unknown) => {
    if (error instanceof api.ApiError && error.status === 401) state.fail(error);
    said.value = [reasonOf(error)];
    refused.value++;
  });
}

async function remove(style: api.Style): Promise<void> {
  const picture = await api.stylePicture(style);
  await api.removeStyle(style.id);
  await state.reloadStyles();
  const bringBack = () =>
    void api.addStyle(style.name, style.tags, picture).then(state.reloadStyles).catch(state.fail);
  state.tell(t("styleRemoved", { name: style.name }), "info", { label: t("restoreIt"), run: bringBack });
}

/** Give `style` another name or other tags; a name of another id takes the old one's place. */
async function describe(style: api.Style, name: string, tags: string[]): Promise<void> {
  if (!name || (name === style.name && tags.join() === style.tags.join())) return;
  const picture = await api.stylePicture(style);
  const isSame = idOf(name) === style.id;
  const added = await api.addStyle(name, tags, picture, isSame);
  if (added.id !== style.id) await api.removeStyle(style.id);
  await state.reloadStyles();
}

export function Library({ onClose }: { onClose: () => void }) {
  const tags = useSignal("");
  const file = useRef<HTMLInputElement>(null);
  useEffect(() => {
    said.value = [];
  }, []);
  const addAll = async (files: File[]) => {
    said.value = [];
    for (const each of files) {
      try {
        const style = await api.addStyle(nameOf(each), tagsIn(tags.value), each);
        said.value = [...said.value, t("styleAdded", { name: style.name })];
      } catch (error) {
        said.value = [...said.value, `${each.name}: ${reasonOf(error)}`];
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
          <li key={`${style.id} ${style.sha256} ${refused.value}`}>
            <img src={api.at(style.thumbnail)} alt="" loading="lazy" />
            <div class="field">
              <input
                aria-label={t("nameOf", { name: style.name })}
                maxLength={NAME}
                value={style.name}
                onChange={({ currentTarget: { value } }) =>
                  inTurn(style.id, (now) => describe(now, value.trim(), now.tags))
                }
              />
              <input
                aria-label={t("tagsOf", { name: style.name })}
                value={style.tags.join(", ")}
                onChange={({ currentTarget: { value } }) =>
                  inTurn(style.id, (now) => describe(now, now.name, tagsIn(value)))
                }
              />
            </div>
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
