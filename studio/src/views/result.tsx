/** A render: on its way, then beside what it came from. */

import { useSignal } from "@preact/signals";
import { saveBoard } from "../board";
import { place, save, urlOf } from "../files";
import { again, enlarge, keepLive, livePicture, running, vary } from "../jobs";
import * as database from "../keep/database";
import type { Kept, Which } from "../keep/database";
import * as state from "../state";
import { t } from "../texts";
import { DEFAULTS } from "../wish";
import { structureWords, styleWords } from "../words";
import { Icon } from "./parts";
import { MadeBy } from "./madeby";
import { usePicture } from "./picture";
import { Repaint } from "./repaint";

export function Result() {
  const now = running.value;
  const live = livePicture.value;
  const kept = state.renders.value.find(({ id }) => id === state.selected.value);
  return (
    <section class="result" aria-label={t("result")}>
      {now && !(live && state.live.value) ? (
        <Progress />
      ) : live && state.live.value ? (
        <Live />
      ) : kept?.state === "failed" ? (
        <Failed kept={kept} />
      ) : kept ? (
        <Compare kept={kept} />
      ) : (
        <div class="nothing">
          <p>{t("nothingYet")}</p>
          <small>{t("nothingYetHint")}</small>
        </div>
      )}
    </section>
  );
}

function Progress() {
  const now = running.value!;
  const words =
    now.step >= 0
      ? t("stepOf", { step: now.step, steps: now.steps })
      : now.ahead
        ? t("waitingBehind", { n: now.ahead })
        : t("waiting");
  const style = now.style ? `, ${t("inStyle", { name: now.style })}` : "";
  return (
    <div class="progress">
      <div class="frame">
        {now.previews[0] ? <img src={now.previews[0]} alt={t("preview")} /> : <div class="blank" />}
      </div>
      <progress max={now.steps} value={Math.max(0, now.step)} aria-label={t("result")} />
      <p>
        {state.online.value ? words : t("reconnecting")}
        {style}
      </p>
    </div>
  );
}

function Live() {
  const { kept, pictures } = livePicture.value!;
  const image = pictures.find(([which]) => which === 0)![1];
  return (
    <div class="progress">
      <div class="frame">
        <img src={urlOf(image)} alt={t("liveNow")} />
      </div>
      <p>{kept.style && t("inStyle", { name: kept.style.name })}</p>
      <button type="button" onClick={() => void keepLive().catch(state.fail)}>
        {t("keepIt")}
      </button>
    </div>
  );
}

function Failed({ kept }: { kept: Kept }) {
  return (
    <div class="nothing" role="alert">
      <p>{t("failed")}</p>
      <small>{kept.error}</small>
      <button type="button" onClick={() => void again(kept).catch(state.fail)}>
        {t("renderAgain")}
      </button>
    </div>
  );
}

const EARLIER = 30;

function Compare({ kept }: { kept: Kept }) {
  const left = useSignal("sketch");
  const right = useSignal("0");
  const divide = useSignal(50);
  const earlier = state.renders.value.filter(({ id, state }) => id !== kept.id && state === "done").slice(0, EARLIER);
  const images = kept.images.map((_, n) => String(n));
  const rightNow = images.includes(right.value) || right.value === "edges" ? right.value : "0";
  const other = earlier.find(({ id }) => id === left.value);
  const leftNow = other || ["sketch", "edges", ...images].includes(left.value) ? left.value : "sketch";
  const whichOf = (key: string): Which => (key === "sketch" || key === "edges" ? key : Number(key));
  const before = usePicture(other ? other.id : kept.id, other ? 0 : whichOf(leftNow));
  const after = usePicture(kept.id, whichOf(rightNow));
  const nameOf = (n: string) => (images.length > 1 ? t("pictureN", { n: Number(n) + 1 }) : t("picture"));
  return (
    <>
      <div class="compare-head">
        <label class="select">
          <span class="visually-hidden">{t("before")}</span>
          <select value={leftNow} onChange={(event) => (left.value = event.currentTarget.value)}>
            <option value="sketch">{t("sketch")}</option>
            <option value="edges">{t("edges")}</option>
            {images.length > 1 && images.map((n) => <option key={n} value={n}>{nameOf(n)}</option>)}
            {earlier.map((each) => (
              <option key={each.id} value={each.id}>
                {t("earlier", { name: each.wish.prompt.slice(0, 40) })}
              </option>
            ))}
          </select>
        </label>
        <label class="select">
          <span class="visually-hidden">{t("after")}</span>
          <select value={rightNow} onChange={(event) => (right.value = event.currentTarget.value)}>
            {images.map((n) => (
              <option key={n} value={n}>
                {nameOf(n)}
              </option>
            ))}
            <option value="edges">{t("edges")}</option>
          </select>
        </label>
      </div>
      <div class="compare" style={{ "--divide": `${divide.value}%`, aspectRatio: `${kept.wish.width} / ${kept.wish.height}` }}>
        {before && <img src={before} alt={t("before")} />}
        {after && <img class="over" src={after} alt={kept.wish.prompt} />}
        <span class="divider" aria-hidden="true" />
        <input
          type="range"
          min="0"
          max="100"
          aria-label={t("divide")}
          value={divide.value}
          onInput={(event) => (divide.value = Number(event.currentTarget.value))}
        />
      </div>
      <Facts kept={kept} n={Number(rightNow) || 0} />
    </>
  );
}

function Facts({ kept, n }: { kept: Kept; n: number }) {
  const explained = useSignal(false);
  const repainting = useSignal(false);
  const image = kept.images[n];
  const saveImage = async () => {
    const png = await database.picture(kept.id, n);
    if (png) save(png, `${kept.id}-${n + 1}.png`);
  };
  const backToSketch = async () => {
    const sketch = await database.picture(kept.id, "sketch");
    if (sketch) await place(sketch, kept.wish);
    state.pane.value = "draw";
  };
  return (
    <div class="facts">
      <p>
        {image && <span title={image.structure.toFixed(2)}>{t(structureWords(image.structure))}</span>}
        {kept.style && (
          <span title={kept.style.score?.toFixed(2)}>
            {kept.style.name}: {t(styleWords(kept.style.score))}
          </span>
        )}
        <span>
          {t("seed")} {image?.seed}
        </span>
        <span>{t("took", { seconds: kept.seconds.toFixed(1) })}</span>
      </p>
      {kept.warnings.map((warning) => (
        <p class="warning" key={warning}>
          {warning}
        </p>
      ))}
      <div class="actions">
        <button
          type="button"
          aria-pressed={kept.favourite}
          aria-label={t("favourite")}
          title={t(kept.favourite ? "unfavourite" : "favourite")}
          onClick={() => void favour(kept)}
        >
          <Icon name="star" />
        </button>
        <button type="button" onClick={() => void saveImage()}>
          {t("saveRender")}
        </button>
        <button type="button" onClick={() => useAgain(kept, n)}>
          {t("useSettings")}
        </button>
        <button type="button" onClick={() => void backToSketch().catch(state.fail)}>
          {t("useSketch")}
        </button>
        <button type="button" onClick={() => void vary(kept).catch(state.fail)}>
          {t("vary")}
        </button>
        <button type="button" onClick={() => (repainting.value = true)}>
          {t("repaint")}
        </button>
        <button type="button" onClick={() => void goOnFrom(kept, n).catch(state.fail)}>
          {t("useAsBase")}
        </button>
        <button type="button" onClick={() => void enlarge(kept, n).catch(state.fail)}>
          {t("enlarge")}
        </button>
        <button type="button" onClick={() => void saveBoard([kept]).catch(state.fail)}>
          {t("board")}
        </button>
        <button type="button" onClick={() => (explained.value = true)}>
          {t("madeBy")}
        </button>
      </div>
      {repainting.value && <Repaint kept={kept} n={n} onClose={() => (repainting.value = false)} />}
      {explained.value && <MadeBy kept={kept} n={n} onClose={() => (explained.value = false)} />}
    </div>
  );
}

/** Begin the next render with a picture of `kept`. */
async function goOnFrom(kept: Kept, n: number): Promise<void> {
  const image = await database.picture(kept.id, n);
  const sketch = await database.picture(kept.id, "sketch");
  if (!image || !sketch) return;
  useAgain(kept, n);
  await place(sketch, kept.wish);
  const { strength, upscale } = DEFAULTS;
  state.set({ image, mask: null, pad: [], strength: kept.wish.strength ?? strength, upscale });
  state.tell(t("baseSet"));
}

export async function favour(kept: Kept): Promise<void> {
  await database.put({ ...kept, favourite: !kept.favourite });
  await state.reloadRenders();
}

/** Ask for the same as `kept`, its seed held, so that one thing can be changed. */
export function useAgain(kept: Kept, n = 0): void {
  const { width, height, ...rest } = kept.wish;
  state.resize({ width, height });
  state.set({ ...rest, seed: kept.images[n]?.seed ?? rest.seed });
}

