/** Renders as the trees of what came from what. */

import type { Kept } from "../keep/database";
import { t } from "../texts";
import { type Branch, changes } from "../tree";
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
            <small>
              {before
                ? t("changed", { what: changes(kept, before).map((label) => t(label)).join(", ") || t("sketch") })
                : when(kept.created)}
            </small>
          </span>
        </button>
        {after.length > 0 && <Trees trees={after} onChoose={onChoose} />}
      </li>
    ))}
  </ul>
);
