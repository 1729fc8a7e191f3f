/** What a render is asked for beside its sketch and sentence. */

import { urlOf } from "../files";
import * as state from "../state";
import { t } from "../texts";
import { DEFAULTS, FIELDS, LISTED, fidelityOf, withFidelity } from "../wish";
import { Control } from "./fields";
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
  const { image, mask } = state.wish.value;
  const strength = state.wish.value.strength ?? 0;
  if (!image) return null;
  return (
    <section class="base" aria-labelledby="base-head">
      <h2 id="base-head">{t("base")}</h2>
      <div class="tags">
        <img src={urlOf(image)} alt={t("base")} />
        {mask && <img src={urlOf(mask)} alt={t("mask")} />}
      </div>
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
      <button type="button" onClick={() => state.set({ image: null, mask: null, pad: [] })}>
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
        min={FIELDS["ip_adapter_scale"]!.min!}
        max={FIELDS["ip_adapter_scale"]!.max!}
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

function Details() {
  return (
    <details class="more">
      <summary>{t("more")}</summary>
      {LISTED.map((name) => (
        <Control key={name} name={name} />
      ))}
      <button
        type="button"
        onClick={() => {
          const { prompt, width, height, style, styles, style_images, style_weights, image, mask, pad } = state.wish.value;
          const kept = { prompt, width, height, style, styles, style_images, style_weights, image, mask, pad };
          state.wish.value = { ...DEFAULTS, ...kept };
        }}
      >
        {t("reset")}
      </button>
    </details>
  );
}
