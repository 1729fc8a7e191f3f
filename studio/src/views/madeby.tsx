/** What made a render, and the commands that make it again. */

import { useSignal } from "@preact/signals";
import { at } from "../api/client";
import { styleOf } from "../jobs";
import type { Kept } from "../keep/database";
import { linkOf } from "../link";
import { curl, python } from "../snippets";
import { t } from "../texts";
import { Dialog } from "./parts";

/** Whether `value` can be read, and there is one. */
const isTold = (value: unknown): boolean =>
  Array.isArray(value)
    ? value.length > 0 && !(value[0] instanceof Blob)
    : ["number", "boolean", "string"].includes(typeof value) && value !== "";

interface Props {
  kept: Kept;
  n: number;
  onClose: () => void;
}

export function MadeBy({ kept, n, onClose }: Props) {
  const said = useSignal("");
  const wish = { ...kept.wish, seed: kept.images[n]?.seed ?? null, style: styleOf(kept) };
  const one = { ...wish, num_images: 1 };
  const snippets = [
    { label: "asLink", language: t("link"), text: linkOf(one) },
    { label: "asCurl", language: "curl", text: curl(one, at("")) },
    { label: "asPython", language: "Python", text: python(one, location.hostname) },
  ] as const;
  const copy = async (text: string) => {
    try {
      await navigator.clipboard.writeText(text);
      said.value = t("copied");
    } catch {
      said.value = t("notCopied");
    }
  };
  const { structure, sentence, style } = kept.images[n] ?? {};
  const scores = { structure_f1: structure, clip_score: sentence, style_score: style };
  const rows = Object.entries({ ...wish, ...scores }).filter(([, value]) => isTold(value));
  return (
    <Dialog title={t("madeBy")} onClose={onClose} wide>
      <table>
        <tbody>
          {rows.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{typeof value === "number" ? Number(value.toFixed(4)) : [value].flat().join(", ")}</td>
            </tr>
          ))}
          {Object.keys(kept.versions).length > 0 && (
            <tr>
              <th scope="row">{t("versionsOf")}</th>
              <td>
                {Object.entries(kept.versions)
                  .map(([name, version]) => `${name} ${version}`)
                  .join(", ")}
              </td>
            </tr>
          )}
        </tbody>
      </table>
      {snippets.map(({ label, language, text }) => (
        <div class="snippet" key={language}>
          <button type="button" onClick={() => void copy(text)}>
            {t(label)}
          </button>
          <pre tabIndex={0} aria-label={language}>
            {text}
          </pre>
        </div>
      ))}
      <p role="status">{said.value}</p>
    </Dialog>
  );
}
