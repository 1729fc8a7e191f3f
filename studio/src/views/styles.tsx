/** The library's styles to choose from, and pictures of one's own. */

import { computed, signal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import * as api from "../api/client";
import { PICTURES, picturesIn, urlOf } from "../files";
import * as state from "../state";
import { t } from "../texts";
import { FIELDS } from "../wish";
import { Icon, IconButton, Slider, Switch } from "./parts";

const SEARCH_AFTER = 250;
const MAX_OWN = 8;
const MAX_TAGS = 12;

const words = signal("");
/** A tag that the styles shown all have; empty: any. */
const tag = signal("");
/** What was searched for, by words or by another style. */
const found = signal<api.Style[] | undefined>(undefined);
const like = signal<api.Style | undefined>(undefined);

const tags = computed(() => {
  const counts = new Map<string, number>();
  for (const style of state.styles.value)
    for (const each of style.tags) counts.set(each, (counts.get(each) ?? 0) + 1);
  // One that all have tells none apart.
  const telling = [...counts].filter(([, count]) => count < state.styles.value.length);
  return telling.sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, MAX_TAGS).map(([name]) => name);
});

const shown = computed(() => {
  const all = found.value ?? pinnedFirst(state.styles.value);
  return tag.value ? all.filter((style) => style.tags.includes(tag.value)) : all;
});

const pinnedFirst = (styles: api.Style[]): api.Style[] => [
  ...styles.filter(({ id }) => state.pins.value.includes(id)),
  ...styles.filter(({ id }) => !state.pins.value.includes(id)),
];

export function addOwn(files: Blob[]): void {
  const { styles, style_images, style_weights: before } = state.wish.value;
  const style_weights = styles.length ? [] : before;
  const images = [...style_images, ...files].slice(0, MAX_OWN);
  state.set({ style: "", styles: [], style_images: images, style_weights: images.map((_, n) => style_weights[n] ?? 1) });
}

/** Whether what is chosen joins what was chosen before. */
const blends = signal(false);

/** Choose the style `id`, or let it join or leave those that are blended. */
function choose(id: string): void {
  const { style, styles, style_weights } = state.wish.value;
  const before = styles.length ? styles : [style].filter(Boolean);
  if (!blends.value || !id) return wear(id ? [id] : [], []);
  const at = before.indexOf(id);
  const weights = before.map((_, n) => style_weights[n] ?? 1);
  if (at < 0) wear([...before, id].slice(0, MAX_OWN), [...weights, 1].slice(0, MAX_OWN));
  else wear(before.toSpliced(at, 1), weights.toSpliced(at, 1));
}

/** Have the library's `styles` and none of one's own. */
const wear = (styles: string[], weights: number[]): void =>
  styles.length > 1
    ? state.set({ style: "", styles, style_images: [], style_weights: weights })
    : state.set({ style: styles[0] ?? "", styles: [], style_images: [], style_weights: [] });

async function showLike(style: api.Style): Promise<void> {
  words.value = tag.value = "";
  const similar = await api.similar(style.id);
  like.value = style;
  found.value = [style, ...similar];
}

function showAll(): void {
  words.value = "";
  found.value = like.value = undefined;
}

/** Search a moment after the last letter. */
function searchAsTyped(): (() => void) | undefined {
  const sought = words.value.trim();
  if (!sought) {
    if (!like.peek()) found.value = undefined;
    return undefined;
  }
  like.value = undefined;
  const aborting = new AbortController();
  const timer = setTimeout(() => {
    api.search(sought, aborting.signal).then(
      (scored) => (found.value = scored),
      (error: unknown) => {
        if (!aborting.signal.aborted) state.fail(error);
      },
    );
  }, SEARCH_AFTER);
  return () => {
    clearTimeout(timer);
    aborting.abort();
  };
}

export function Styles() {
  useSignalEffect(searchAsTyped);
  const { style, styles, style_images } = state.wish.value;
  const chosen = state.styles.value.find(({ id }) => id === style);
  return (
    <section
      class="styles"
      aria-labelledby="style-head"
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        event.stopPropagation();
        addOwn(picturesIn(event.dataTransfer));
      }}
    >
      <h2 id="style-head">{t("style")}</h2>
      <input
        type="search"
        aria-label={t("findStyle")}
        placeholder={t("findStyleHint")}
        value={words.value}
        onInput={(event) => (words.value = event.currentTarget.value)}
      />
      <Tags />
      {like.value && (
        <p class="like">
          {t("likeStyle", { name: like.value.name })}
          <IconButton icon="close" label={t("allStyles")} onClick={showAll} />
        </p>
      )}
      <ul class="style-grid">
        <li>
          <button
            type="button"
            class="style automatic"
            aria-pressed={!style && !styles.length && !style_images.length}
            title={t("bySentence")}
            onClick={() => choose("")}
          >
            <span class="swatch">Aa</span>
            <span>{t("bySentenceShort")}</span>
          </button>
        </li>
        {shown.value.map((each) => (
          <li key={each.id}>
            <button
              type="button"
              class="style"
              aria-pressed={style === each.id || styles.includes(each.id)}
              title={each.tags.join(", ")}
              onClick={() => choose(each.id)}
            >
              <img src={api.at(each.thumbnail)} alt="" loading="lazy" />
              <span>
                {state.pins.value.includes(each.id) && <span aria-label={t("pinned")}>★ </span>}
                {each.name}
              </span>
            </button>
          </li>
        ))}
        {style_images.map((image, n) => (
          <li key={urlOf(image)}>
            <Own image={image} n={n} />
          </li>
        ))}
        <li>
          <AddOwn />
        </li>
      </ul>
      {shown.value.length === 0 && state.styles.value.length > 0 && <p class="hint">{t("noStyle")}</p>}
      {"styles" in FIELDS && <Switch label={t("blend")} on={blends} hint={t("blendHint")} />}
      {chosen && <Chosen style={chosen} />}
      {styles.map((id, n) => (
        <Slider
          key={id}
          label={state.styles.value.find((each) => each.id === id)?.name ?? id}
          value={state.wish.value.style_weights[n] ?? 1}
          min={0}
          max={1}
          step={0.05}
          onInput={(weight) => state.set({ style_weights: state.wish.value.style_weights.with(n, weight) })}
        />
      ))}
    </section>
  );
}

function Tags() {
  if (!tags.value.length) return null;
  return (
    <div class="tags" role="group" aria-label={t("tags")}>
      {tags.value.map((each) => (
        <button
          type="button"
          key={each}
          aria-pressed={tag.value === each}
          onClick={() => (tag.value = tag.value === each ? "" : each)}
        >
          {each}
        </button>
      ))}
    </div>
  );
}

/** What can be done with the style that is chosen. */
function Chosen({ style }: { style: api.Style }) {
  const { pins } = state;
  const isPinned = pins.value.includes(style.id);
  const pin = () =>
    (pins.value = isPinned ? pins.value.filter((id) => id !== style.id) : [...pins.value, style.id]);
  return (
    <div class="actions chosen">
      <p>
        {style.name}
        {style.tags.length > 0 && <small> {style.tags.join(", ")}</small>}
      </p>
      <button type="button" aria-pressed={isPinned} onClick={pin}>
        {t("pin")}
      </button>
      <button type="button" onClick={() => void showLike(style).catch(state.fail)}>
        {t("moreLike")}
      </button>
    </div>
  );
}

function Own({ image, n }: { image: Blob; n: number }) {
  const { style_images, style_weights } = state.wish.value;
  const without = <T,>(list: T[]): T[] => list.filter((_, other) => other !== n);
  return (
    <span class="style own">
      <img src={urlOf(image)} alt={`${t("ownPicture")} ${n + 1}`} />
      {style_images.length > 1 && (
        <input
          type="range"
          min="0"
          max="1"
          step="0.05"
          aria-label={t("weight", { n: n + 1 })}
          value={style_weights[n]}
          onInput={({ currentTarget }) =>
            state.set({ style_weights: style_weights.with(n, Number(currentTarget.value)) })
          }
        />
      )}
      <button
        type="button"
        class="quiet"
        onClick={() => state.set({ style_images: without(style_images), style_weights: without(style_weights) })}
      >
        {t("remove")}
      </button>
    </span>
  );
}

function AddOwn() {
  const file = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="style automatic" title={t("addOwnPicture")} onClick={() => file.current?.click()}>
        <span class="swatch">
          <Icon name="plus" />
        </span>
        <span>{t("ownPicture")}</span>
      </button>
      <input
        ref={file}
        type="file"
        hidden
        multiple
        accept={PICTURES}
        aria-label={t("addOwnPicture")}
        onChange={({ currentTarget }) => {
          addOwn([...(currentTarget.files ?? [])]);
          currentTarget.value = "";
        }}
      />
    </>
  );
}
