/** A board on paper: what the browser prints, or saves as PDF, instead of the page. */

import { signal } from "@preact/signals";
import { at } from "../api/client";
import type { Kept, Which } from "../keep/database";
import { t } from "../texts";
import { usePicture } from "./picture";

const chosen = signal<Kept[]>([]);
addEventListener("afterprint", () => (chosen.value = []));

/** Print a board of `renders`. */
export async function printBoard(renders: Kept[]): Promise<void> {
  chosen.value = renders;
  const deadline = Date.now() + 10_000;
  const wanted = renders.reduce((sum, { images, style }) => sum + 1 + images.length + (style?.id ? 1 : 0), 0);
  const isReady = () => {
    const pictures = [...document.querySelectorAll<HTMLImageElement>(".printed img")];
    return pictures.length >= wanted && pictures.every(({ complete }) => complete);
  };
  while (!isReady() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
  print();
}

/** The board of what is being printed. */
export function Printed() {
  if (!chosen.value.length) return null;
  return (
    <section class="printed" aria-hidden="true">
      {chosen.value.map((kept) => (
        <article key={kept.id}>
          <div>
            <Picture kept={kept} which="sketch" />
            {kept.style?.id && <img src={at(`v1/styles/${encodeURIComponent(kept.style.id)}/image`)} alt="" />}
            {kept.images.map((_, n) => (
              <Picture key={n} kept={kept} which={n} />
            ))}
          </div>
          <h2>{kept.wish.prompt}</h2>
          <p>
            {kept.style && `${kept.style.name}, `}
            {t("seed")} {kept.images.map(({ seed }) => seed).join(", ")}, {kept.id}
          </p>
        </article>
      ))}
    </section>
  );
}

function Picture({ kept, which }: { kept: Kept; which: Which }) {
  const url = usePicture(kept.id, which);
  return url ? <img src={url} alt="" /> : null;
}
