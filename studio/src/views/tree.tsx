/** Renders as the trees of what came from what. */

import type { Kept } from "../keep/database";
import { labelOf, t } from "../texts";
import { type Branch, begunWith, changes } from "../tree";
import { Thumbnail, when } from "./thumbnail";

interface Props {
  trees: Branch[];
  onChoose: (kept: Kept) => void;
}

export const Trees = ({ trees, onChoose }: Props) => (
  <ul class="trees">
    {trees.map(({ kept, before, after }) => (
      <li key={kept.id}>
        <button type="button" class="branch" onClick={() => onChoose(kept)}>
          <span class="thumbnail">
            <Thumbnail kept={kept} />
          </span>
          <span>
            {kept.wish.prompt}
            <small>{before ? changesOf(kept, before) : when(kept.created)}</small>
          </span>
        </button>
        {after.length > 0 && <Trees trees={after} onChoose={onChoose} />}
      </li>
    ))}
  </ul>
);

/** In words: whether a picture was gone on from, and what was asked for otherwise than before. */
function changesOf(kept: Kept, before: Kept): string {
  const begun = begunWith(kept);
  const what = changes(kept, before).map(labelOf).join(", ") || (begun ? "" : t("sketch"));
  return [begun && t(begun), what && t("changed", { what })].filter(Boolean).join("; ");
}
