/** The sentence, and what renders it. */

import { useComputed } from "@preact/signals";
import { cancel, render, running } from "../jobs";
import * as state from "../state";
import { t } from "../texts";
import { FIELDS, QUALITIES, type Quality, qualityOf, sizesOf } from "../wish";
import { Switch } from "./parts";

export const QUALITY_TEXT = { fast: "fast", balanced: "balanced", quality: "fine" } as const;

export function Composer() {
  const { wish } = state;
  const quality = useComputed(() => qualityOf(wish.value));
  const sizes = useComputed(() => (state.info.value ? sizesOf(state.info.value) : []));
  const { width, height } = wish.value;
  const size = `${width}x${height}`;
  const now = running.value;
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void render().catch(state.fail);
      }}
    >
      <label class="visually-hidden" for="sentence">
        {t("sentence")}
      </label>
      <input
        id="sentence"
        autocomplete="off"
        enterkeyhint="go"
        maxLength={FIELDS["prompt"]!.max_length!}
        placeholder={t("sentenceHint")}
        value={wish.value.prompt}
        onInput={(event) => state.set({ prompt: event.currentTarget.value })}
      />
      <label class="select">
        <span class="visually-hidden">{t("quality")}</span>
        <select
          value={quality.value ?? ""}
          onChange={(event) => state.set(QUALITIES[event.currentTarget.value as Quality])}
        >
          {!quality.value && <option value="">{t("own")}</option>}
          {(Object.keys(QUALITIES) as Quality[]).map((name) => (
            <option key={name} value={name}>
              {t(QUALITY_TEXT[name])}
            </option>
          ))}
        </select>
      </label>
      <label class="select">
        <span class="visually-hidden">{t("size")}</span>
        <select
          value={size}
          onChange={(event) => {
            const [wide = width, high = height] = event.currentTarget.value.split("x").map(Number);
            state.resize({ width: wide, height: high });
          }}
        >
          {!sizes.value.some((each) => `${each.width}x${each.height}` === size) && (
            <option value={size}>
              {width} × {height}
            </option>
          )}
          {sizes.value.map((each) => (
            <option key={`${each.width}x${each.height}`} value={`${each.width}x${each.height}`}>
              {each.width} × {each.height}
            </option>
          ))}
        </select>
      </label>
      <Switch label={t("live")} on={state.live} hint={t("liveHint")} />
      {now && !state.live.value ? (
        <button type="button" class="primary" disabled={now.cancelling} onClick={() => void cancel()}>
          {now.cancelling ? t("cancelling") : t("cancel")}
        </button>
      ) : (
        <button type="submit" class="primary" title="Ctrl+Enter" disabled={!!now}>
          {t("render")}
        </button>
      )}
    </form>
  );
}
