/** What a render is asked for beside its sketch and sentence. */

import { signal, useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import * as api from "../api/client";
import { PICTURES, picturesIn, urlOf } from "../files";
import * as state from "../state";
import { t } from "../texts";
import { DEFAULTS, type NumberField, fidelityOf, rangeOf, withFidelity } from "../wish";
import { Icon, IconButton, Slider } from "./parts";

const SEARCH_AFTER = 250;
const MAX_OWN = 8;

const found = signal<{ style: api.Style; score: number | undefined }[] | undefined>(undefined);

export function addOwn(files: Blob[]): void {
  const { style_images, style_weights } = state.wish.value;
  const images = [...style_images, ...files].slice(0, MAX_OWN);
  state.set({ style: "", style_images: images, style_weights: images.map((_, n) => style_weights[n] ?? 1) });
}

export function Panel() {
  return (
    <aside class="panel" aria-label={t("more")}>
      <Styles />
      <Fidelity />
      <Seed />
      <Details />
    </aside>
  );
}

function Styles() {
  const words = useSignal("");
  const file = useRef<HTMLInputElement>(null);
  useSignalEffect(() => {
    const sought = words.value.trim();
    if (!sought) {
      found.value = undefined;
      return;
    }
    const aborting = new AbortController();
    const timer = setTimeout(() => {
      api.search(sought, aborting.signal).then(
        (scored) => (found.value = scored.map(({ style, score }) => ({ style, score: score ?? undefined }))),
        (error: unknown) => {
          if (!aborting.signal.aborted) state.fail(error);
        },
      );
    }, SEARCH_AFTER);
    return () => {
      clearTimeout(timer);
      aborting.abort();
    };
  });
  const shown = found.value ?? state.styles.value.map((style) => ({ style, score: undefined }));
  const { style, style_images } = state.wish.value;
  const choose = (id: string) => state.set({ style: id, style_images: [], style_weights: [] });
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
      <ul class="style-grid">
        <li>
          <button
            type="button"
            class="style automatic"
            aria-pressed={!style && !style_images.length}
            title={t("bySentence")}
            onClick={() => choose("")}
          >
            <span class="swatch">Aa</span>
            <span>{t("bySentenceShort")}</span>
          </button>
        </li>
        {shown.map((each) => (
          <li key={each.style.id}>
            <button
              type="button"
              class="style"
              aria-pressed={style === each.style.id}
              title={each.style.tags.join(", ")}
              onClick={() => choose(each.style.id)}
            >
              <img src={api.at(each.style.thumbnail)} alt="" loading="lazy" />
              <span>{each.style.name}</span>
            </button>
          </li>
        ))}
        {style_images.map((image, n) => (
          <li key={urlOf(image)}>
            <span class="style own" aria-pressed="true">
              <img src={urlOf(image)} alt={`${t("ownPicture")} ${n + 1}`} />
              {style_images.length > 1 && (
                <input
                  type="range"
                  min="0"
                  max="1"
                  step="0.05"
                  aria-label={t("weight", { n: n + 1 })}
                  value={state.wish.value.style_weights[n]}
                  onInput={(event) => {
                    const weights = [...state.wish.value.style_weights];
                    weights[n] = Number(event.currentTarget.value);
                    state.set({ style_weights: weights });
                  }}
                />
              )}
              <button
                type="button"
                class="quiet"
                onClick={() =>
                  state.set({
                    style_images: style_images.filter((_, other) => other !== n),
                    style_weights: state.wish.value.style_weights.filter((_, other) => other !== n),
                  })
                }
              >
                {t("remove")}
              </button>
            </span>
          </li>
        ))}
        <li>
          <button type="button" class="style automatic" title={t("addOwnPicture")} onClick={() => file.current?.click()}>
            <span class="swatch">
              <Icon name="plus" />
            </span>
            <span>{t("ownPicture")}</span>
          </button>
        </li>
      </ul>
      {found.value?.length === 0 && <p class="hint">{t("noStyle")}</p>}
      <input
        ref={file}
        type="file"
        hidden
        multiple
        accept={PICTURES}
        aria-label={t("addOwnPicture")}
        onChange={(event) => {
          addOwn([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
    </section>
  );
}

function Fidelity() {
  const { wish } = state;
  const fidelity = fidelityOf(wish.value);
  return (
    <section>
      <Slider
        label={t("fidelity")}
        value={Math.round(fidelity * 100)}
        min={0}
        max={100}
        step={5}
        shown={`${Math.round(fidelity * 100)} %`}
        ends={[t("free"), t("exact")]}
        onInput={(value) => (wish.value = withFidelity(wish.value, value / 100))}
      />
      <Slider
        label={t("styleStrength")}
        value={wish.value.ip_adapter_scale}
        {...rangeOf("controlnet_conditioning_scale")}
        step={0.05}
        onInput={(value) => state.set({ ip_adapter_scale: value })}
      />
    </section>
  );
}

function Seed() {
  const { seed } = state.wish.value;
  const last = state.renders.value.find(({ id }) => id === state.selected.value)?.images[0]?.seed;
  return (
    <section class="seed">
      <label class="field">
        <span class="field-head">{t("seed")}</span>
        <input
          type="number"
          min="0"
          max={2 ** 32 - 1}
          value={seed ?? ""}
          placeholder={last === undefined ? t("seedDrawn") : `${t("seedDrawn")} (${last})`}
          onInput={(event) => {
            const { value } = event.currentTarget;
            state.set({ seed: value === "" ? null : Number(value) });
          }}
        />
      </label>
      <IconButton
        icon={seed === null ? "unlock" : "lock"}
        label={t("seedLocked")}
        pressed={seed !== null}
        onClick={() => state.set({ seed: seed === null ? (last ?? 1) : null })}
      />
    </section>
  );
}

const DETAILS = [
  ["num_inference_steps", "steps", 1],
  ["guidance_scale", "guidance", 0.5],
  ["controlnet_conditioning_scale", "control", 0.05],
  ["control_guidance_start", "controlStart", 0.05],
  ["control_guidance_end", "controlEnd", 0.05],
  ["canny_low_threshold", "cannyLow", 5],
  ["canny_high_threshold", "cannyHigh", 5],
  ["num_images", "pictures", 1],
] as const;

function Details() {
  const { wish } = state;
  const most = (field: NumberField) => {
    const { min, max } = rangeOf(field);
    const limit = state.info.value?.limits.max_steps[wish.value.scheduler];
    return { min, max: field === "num_inference_steps" ? Math.min(max, limit ?? max) : max };
  };
  return (
    <details class="more">
      <summary>{t("more")}</summary>
      <label class="field">
        <span class="field-head">{t("negative")}</span>
        <input
          maxLength={500}
          value={wish.value.negative_prompt}
          onInput={(event) => state.set({ negative_prompt: event.currentTarget.value })}
        />
      </label>
      <label class="field">
        <span class="field-head">{t("scheduler")}</span>
        <select value={wish.value.scheduler} onChange={(event) => state.set({ scheduler: event.currentTarget.value })}>
          {(state.info.value?.schedulers ?? [wish.value.scheduler]).map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <small>{t("usually", { value: DEFAULTS.scheduler })}</small>
      </label>
      {DETAILS.map(([field, label, step]) => (
        <Slider
          key={field}
          label={t(label)}
          value={wish.value[field]}
          {...most(field)}
          step={step}
          hint={t("usually", { value: DEFAULTS[field] })}
          onInput={(value) => state.set({ [field]: value })}
        />
      ))}
      <button
        type="button"
        onClick={() => {
          const { prompt, width, height, style, style_images, style_weights } = wish.value;
          wish.value = { ...DEFAULTS, prompt, width, height, style, style_images, style_weights };
        }}
      >
        {t("reset")}
      </button>
    </details>
  );
}
