/** Controls for the fields of a render by what the API says of them: one that is new is there by itself. */

import * as state from "../state";
import { labelOf, language, t } from "../texts";
import { HELP } from "../texts/help";
import { type Field, FIELDS, type Listed, type Wish } from "../wish";
import { Check, Slider } from "./parts";

/** Steps that a slider has room for; beyond them it takes larger ones. */
const ROOM = 200;

/** What the field is and what it usually is, in the reader's language as far as there is a translation. */
function hintOf(name: string): string {
  const { help, default: usual } = FIELDS[name]!;
  const words = HELP[language.value][name] ?? help;
  return usual === null || String(usual) === "" ? words : `${words} ${t("usually", { value: String(usual) })}`;
}

/** What a slider from `min` to `max` moves by. */
function stepOf({ kind }: Field, min: number, max: number): number {
  if (kind === "int") return max - min > ROOM ? 5 : 1;
  return max - min > ROOM / 20 ? 0.5 : 0.05;
}

/** The values that the gateway takes of `name` just now: others are in `FIELDS`. */
function allowed(name: Listed): { choices: (string | number)[]; max: number | null } {
  const { choices, max } = FIELDS[name]!;
  const { info, wish } = state;
  if (name === "scheduler") return { choices: info.value?.schedulers ?? choices, max };
  const steps = info.value?.limits.max_steps[wish.value.scheduler];
  return { choices, max: name === "num_inference_steps" && steps && max ? Math.min(max, steps) : max };
}

export function Control({ name }: { name: Listed }) {
  const field = FIELDS[name]!;
  const { choices, max } = allowed(name);
  const value = state.wish.value[name];
  const [label, hint] = [labelOf(name), hintOf(name)];
  const one = (text: string) => (field.kind === "str" ? text : Number(text));
  const set = (to: unknown) => state.set({ [name]: to } as Partial<Wish>);
  if (typeof value === "boolean") return <Check label={label} hint={hint} on={value} onChange={set} />;
  if (typeof value === "number" && !choices.length && field.default !== null && field.min !== null && max !== null)
    return (
      <Slider label={label} hint={hint} value={value} min={field.min} max={max} step={stepOf(field, field.min, max)} onInput={set} />
    );
  return (
    <label class="field">
      <span class="field-head">{label}</span>
      {choices.length ? (
        <select value={String(value)} onChange={({ currentTarget }) => set(one(currentTarget.value))}>
          {choices.map((choice) => (
            <option key={choice} value={choice}>
              {choice === "" ? t("asUsual") : choice}
            </option>
          ))}
        </select>
      ) : field.several ? (
        <input
          value={[value].flat().join(", ")}
          onChange={({ currentTarget }) => set(listIn(currentTarget.value, field))}
        />
      ) : field.kind === "str" ? (
        <input
          maxLength={field.max_length ?? undefined}
          value={String(value)}
          onInput={({ currentTarget }) => set(currentTarget.value)}
        />
      ) : (
        <input
          type="number"
          min={field.min ?? undefined}
          max={max ?? undefined}
          step={field.kind === "int" ? 1 : "any"}
          value={value === null ? "" : Number(value)}
          onInput={({ currentTarget }) => set(currentTarget.value === "" ? null : Number(currentTarget.value))}
        />
      )}
      <small>{hint}</small>
    </label>
  );
}

function listIn(text: string, { kind }: Field): (string | number)[] {
  const items = text.split(",").map((item) => item.trim()).filter(Boolean);
  return kind === "str" ? items : items.map(Number).filter(Number.isFinite);
}
