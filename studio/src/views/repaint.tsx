/** A part of a render painted anew: its mask by brush or by numbers, and what is around the picture. */

import { type Signal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import * as history from "../draw/history";
import { blank, fileOf, shareOf, withBox } from "../draw/mask";
import type { Size } from "../draw/model";
import { busy, repaint } from "../jobs";
import * as database from "../keep/database";
import type { Kept } from "../keep/database";
import * as state from "../state";
import { t } from "../texts";
import { FIELDS, padded } from "../wish";
import { Painting, type Steps } from "./painting";
import { Dialog, Slider, Switch } from "./parts";

/** The mask that was being painted when the dialog was closed, so that it is not lost. */
let draft: { of: string; steps: Steps } | undefined;

interface Props {
  kept: Kept;
  n: number;
  onClose: () => void;
}

/** The picture `n` of `kept`, to be painted over. */
export function Repaint({ kept, n, onClose }: Props) {
  const opened = useSignal<{ image: Blob; size: Size } | undefined>(undefined);
  useEffect(() => {
    const open = async () => {
      const image = await database.picture(kept.id, n);
      if (!image) return;
      const { width, height } = await createImageBitmap(image);
      opened.value = { image, size: { width, height } };
    };
    void open().catch(state.fail);
  }, []);
  return (
    <Dialog title={t("repaint")} onClose={onClose} wide>
      {opened.value && <Easel kept={kept} of={`${kept.id}/${n}`} {...opened.value} onClose={onClose} />}
    </Dialog>
  );
}

interface EaselProps {
  kept: Kept;
  of: string;
  image: Blob;
  size: Size;
  onClose: () => void;
}

function Easel({ kept, of, image, size, onClose }: EaselProps) {
  const steps = useSignal<Steps>(draft?.of === of ? draft.steps : history.begin(blank(size)));
  const prompt = useSignal(kept.wish.prompt);
  const strength = useSignal(1);
  const blur = useSignal(0);
  const holds = useSignal(true);
  const pad = useSignal([0, 0, 0, 0]);
  const why = useSignal("");
  useSignalEffect(() => {
    draft = { of, steps: steps.value };
  });
  useEffect(() => {
    // On the page: who paints has the focus nowhere.
    const keys = (event: KeyboardEvent) => onKey(event, steps);
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  const share = useComputed(() => shareOf(steps.value.present));
  const { info } = state;
  const larger = info.value ? padded(size, pad.value, info.value) : size;
  const isPadded = pad.value.some(Boolean);
  const send = async () => {
    if (!share.value && !isPadded) {
      why.value = t("paintFirst");
      return;
    }
    const mask = share.value ? await fileOf(steps.value.present) : null;
    onClose();
    await repaint(kept, image, {
      prompt: prompt.value,
      mask,
      mask_blur: blur.value,
      control_in_mask: holds.value,
      strength: strength.value,
      pad: isPadded ? pad.value : [],
      ...(isPadded && larger),
    });
  };
  return (
    <form
      class="easel"
      onSubmit={(event) => {
        event.preventDefault();
        void send().catch(state.fail);
      }}
    >
      <Painting image={image} steps={steps} share={share.value} />
      <div class="easel-panel">
        <label class="field">
          <span class="field-head">{t("sentence")}</span>
          <input
            required
            maxLength={FIELDS["prompt"]!.max_length!}
            value={prompt.value}
            onInput={(event) => (prompt.value = event.currentTarget.value)}
          />
        </label>
        <Slider
          label={t("softEdge")}
          value={blur.value}
          min={0}
          max={FIELDS["mask_blur"]!.max!}
          step={1}
          onInput={(value) => (blur.value = value)}
        />
        <Slider
          label={t("strength")}
          value={Math.round(strength.value * 100)}
          min={5}
          max={100}
          step={5}
          shown={`${Math.round(strength.value * 100)} %`}
          ends={[t("little"), t("all")]}
          onInput={(value) => (strength.value = value / 100)}
        />
        <Switch label={t("holdEdges")} on={holds} />
        <Rectangle steps={steps} />
        <Numbers
          title={t("padAround")}
          names={[t("left"), t("top"), t("right"), t("bottom")]}
          values={pad}
          max={FIELDS["pad"]!.max!}
          step={info.value?.limits.side_step ?? 1}
        />
        {isPadded && <p class="hint">{`${t("size")}: ${larger.width} × ${larger.height}`}</p>}
        <button type="submit" class="primary" disabled={busy.value}>
          {t("render")}
        </button>
        {why.value && (
          <p class="warning" role="alert">
            {why.value}
          </p>
        )}
      </div>
    </form>
  );
}

function onKey(event: KeyboardEvent, steps: Signal<Steps>): void {
  const inText = event.target instanceof HTMLElement && event.target.matches("input:not([type=range], [type=checkbox])");
  const key = event.key.toLowerCase();
  if (inText || !(event.ctrlKey || event.metaKey) || !["y", "z"].includes(key)) return;
  event.preventDefault();
  steps.value = (key === "y" || event.shiftKey ? history.redo : history.undo)(steps.value);
}

/** A rectangle of the mask by numbers, for who has no pointer or needs it exact. */
function Rectangle({ steps }: { steps: Signal<Steps> }) {
  const { width, height } = steps.value.present;
  const box = useSignal([Math.round(width / 4), Math.round(height / 4), Math.round(width / 2), Math.round(height / 2)]);
  const apply = (erases: boolean) => {
    const [left = 0, top = 0, wide = 0, high = 0] = box.value;
    const next = withBox(steps.value.present, { left, top, width: wide, height: high }, erases);
    steps.value = history.push(steps.value, next);
  };
  return (
    <Numbers
      title={t("rectangle")}
      names={[t("left"), t("top"), t("width"), t("height")]}
      values={box}
      max={Math.max(width, height)}
      step={1}
    >
      <div class="actions">
        <button type="button" onClick={() => apply(false)}>
          {t("paintBox")}
        </button>
        <button type="button" onClick={() => apply(true)}>
          {t("eraseBox")}
        </button>
      </div>
    </Numbers>
  );
}

interface NumbersProps {
  title: string;
  names: string[];
  values: Signal<number[]>;
  max: number;
  step: number;
  children?: ComponentChildren;
}

/** Whole numbers that belong together, in pixels. */
const Numbers = ({ title, names, values, max, step, children }: NumbersProps) => (
  <fieldset>
    <legend>{title}</legend>
    <div class="numbers">
      {names.map((name, n) => (
        <label class="field" key={name}>
          <span class="field-head">{name}</span>
          <input
            type="number"
            min="0"
            max={max}
            step={step}
            value={values.value[n]}
            onInput={({ currentTarget: { value } }) =>
              (values.value = values.value.with(n, Math.min(Math.max(Math.round(Number(value)), 0), max)))
            }
          />
        </label>
      ))}
    </div>
    {children}
  </fieldset>
);
