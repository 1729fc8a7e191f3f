/** What a render is asked for beside its sketch and sentence. */

import { urlOf } from "../files";
import * as state from "../state";
import { t } from "../texts";
import { DEFAULTS, type NumberField, fidelityOf, rangeOf, withFidelity } from "../wish";
import { IconButton, Slider } from "./parts";
import { Styles } from "./styles";

export function Panel() {
  return (
    <aside class="panel" aria-label={t("more")}>
      <Styles />
      <Base />
      <Fidelity />
      <Seed />
      <Details />
    </aside>
  );
}

/** The picture that a render begins with. */
function Base() {
  const { image, strength } = state.wish.value;
  if (!image) return null;
  return (
    <section class="base" aria-labelledby="base-head">
      <h2 id="base-head">{t("base")}</h2>
      <img src={urlOf(image)} alt={t("base")} />
      <Slider
        label={t("strength")}
        value={Math.round(strength * 100)}
        min={5}
        max={100}
        step={5}
        shown={`${Math.round(strength * 100)} %`}
        ends={[t("little"), t("all")]}
        onInput={(value) => state.set({ strength: value / 100 })}
      />
      <button type="button" onClick={() => state.set({ image: null })}>
        {t("removeBase")}
      </button>
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
          const { prompt, width, height, style, style_images, style_weights, image } = wish.value;
          wish.value = { ...DEFAULTS, prompt, width, height, style, style_images, style_weights, image };
        }}
      >
        {t("reset")}
      </button>
    </details>
  );
}
