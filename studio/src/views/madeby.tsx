/** What made a render, and the commands that make it again. */

import { useSignal } from "@preact/signals";
import { at } from "../api/client";
import type { Kept } from "../keep/database";
import { curl, python } from "../snippets";
import { t } from "../texts";
import { Dialog } from "./parts";

interface Props {
  kept: Kept;
  n: number;
  onClose: () => void;
}

export function MadeBy({ kept, n, onClose }: Props) {
  const said = useSignal("");
  const wish = { ...kept.wish, seed: kept.images[n]?.seed ?? null, style: kept.wish.style || (kept.style?.id ?? "") };
  if (wish.style_images.length) wish.style = "";
  const asCurl = curl({ ...wish, num_images: 1 }, at(""));
  const asPython = python({ ...wish, num_images: 1 }, location.hostname);
  const copy = async (text: string) => {
    try {
      await navigator.clipboard.writeText(text);
      said.value = t("copied");
    } catch {
      said.value = t("notCopied");
    }
  };
  const rows = Object.entries(wish).filter(([, value]) => typeof value === "number" || (typeof value === "string" && value));
  return (
    <Dialog title={t("madeBy")} onClose={onClose} wide>
      <table>
        <tbody>
          {rows.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{String(value)}</td>
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
      <div class="snippet">
        <button type="button" onClick={() => void copy(asCurl)}>
          {t("asCurl")}
        </button>
        <pre tabIndex={0} aria-label="curl">{asCurl}</pre>
      </div>
      <div class="snippet">
        <button type="button" onClick={() => void copy(asPython)}>
          {t("asPython")}
        </button>
        <pre tabIndex={0} aria-label="Python">{asPython}</pre>
      </div>
      <p role="status">{said.value}</p>
    </Dialog>
  );
}
