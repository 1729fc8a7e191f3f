/** A kept render in small, and its name. */

import { urlOf } from "../files";
import type { Kept } from "../keep/database";
import { language, t } from "../texts";

export const when = (created: number): string =>
  new Date(created).toLocaleString(language.value, { dateStyle: "medium", timeStyle: "short" });

export const nameOf = ({ wish, created }: Kept): string =>
  t("renderOf", { prompt: wish.prompt, when: when(created) });

export const Thumbnail = ({ kept }: { kept: Kept }) =>
  kept.thumbnail ? (
    <img src={urlOf(kept.thumbnail)} alt="" loading="lazy" />
  ) : (
    <span class="blank" aria-hidden="true">
      !
    </span>
  );
