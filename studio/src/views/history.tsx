/** What this browser has rendered: the newest along the page's foot, all of it in a dialog. */

import { useSignal } from "@preact/signals";
import { saveBoard } from "../board";
import * as database from "../keep/database";
import type { Kept, Which } from "../keep/database";
import * as state from "../state";
import { t } from "../texts";
import { treesOf } from "../tree";
import { Dialog, Icon, IconButton, Switch } from "./parts";
import { printBoard } from "./printed";
import { favour, useAgain } from "./result";
import { Thumbnail, nameOf, when } from "./thumbnail";
import { Trees } from "./tree";

const NEWEST = 24;
const ON_A_BOARD = 8;

function look(kept: Kept): void {
  state.selected.value = kept.id;
  state.pane.value = "result";
}

export function Strip({ onAll }: { onAll: () => void }) {
  const renders = state.renders.value.filter(({ state }) => state !== "running");
  return (
    <nav class="strip" aria-label={t("history")}>
      <button type="button" class="all" onClick={onAll}>
        {t("allRenders")}
      </button>
      {renders.length === 0 && <p class="hint">{t("noRenders")}</p>}
      <ul>
        {renders.slice(0, NEWEST).map((kept) => (
          <li key={kept.id}>
            <button
              type="button"
              class="thumbnail"
              aria-label={nameOf(kept)}
              aria-current={kept.id === state.selected.value}
              title={kept.wish.prompt}
              onClick={() => look(kept)}
            >
              <Thumbnail kept={kept} />
            </button>
          </li>
        ))}
      </ul>
    </nav>
  );
}

async function removeWithUndo(kept: Kept): Promise<void> {
  const parts: Which[] = ["sketch", "edges", ...kept.images.map((_, n) => n)];
  const pictures: [Which, Blob][] = [];
  for (const which of parts) {
    const blob = await database.picture(kept.id, which);
    if (blob) pictures.push([which, blob]);
  }
  await database.remove(kept.id);
  await state.reloadRenders();
  const bringBack = () => void database.put(kept, pictures).then(state.reloadRenders).catch(state.fail);
  state.tell(t("deleted"), "info", { label: t("restoreIt"), run: bringBack });
}

export function History({ onClose }: { onClose: () => void }) {
  const words = useSignal("");
  const favourites = useSignal(false);
  const asTree = useSignal(false);
  const sought = words.value.trim().toLowerCase();
  const shown = state.renders.value.filter(
    ({ wish, style, favourite, state }) =>
      state !== "running" &&
      (!favourites.value || favourite) &&
      `${wish.prompt} ${style?.name ?? ""}`.toLowerCase().includes(sought),
  );
  const done = shown.filter(({ state }) => state === "done");
  const choose = (kept: Kept) => {
    look(kept);
    onClose();
  };
  return (
    <Dialog title={t("history")} onClose={onClose} wide>
      <div class="history-head">
        <input
          type="search"
          aria-label={t("findRender")}
          placeholder={t("findRender")}
          value={words.value}
          onInput={(event) => (words.value = event.currentTarget.value)}
        />
        <Switch label={t("onlyFavourites")} on={favourites} />
        <Switch label={t("asTree")} on={asTree} />
        <span class="hint" role="status">
          {t("count", { n: shown.length })}
        </span>
        {([["board", saveBoard], ["printBoard", printBoard]] as const).map(([label, make]) => (
          <button
            type="button"
            key={label}
            disabled={!done.length}
            onClick={() => void make(done.slice(0, ON_A_BOARD)).catch(state.fail)}
          >
            {t(label)}
          </button>
        ))}
      </div>
      {asTree.value && <Trees trees={treesOf(shown)} onChoose={choose} />}
      {!asTree.value && (
        <ul class="cards">
          {shown.map((kept) => (
            <Card key={kept.id} kept={kept} onChoose={choose} onUse={onClose} />
          ))}
        </ul>
      )}
      {shown.length === 0 && <p class="hint">{t("noRenders")}</p>}
    </Dialog>
  );
}

interface CardProps {
  kept: Kept;
  onChoose: (kept: Kept) => void;
  onUse: () => void;
}

const Card = ({ kept, onChoose, onUse }: CardProps) => (
  <li class="card">
    <button type="button" class="thumbnail" aria-label={nameOf(kept)} onClick={() => onChoose(kept)}>
      <Thumbnail kept={kept} />
    </button>
    <p title={kept.wish.prompt}>{kept.wish.prompt}</p>
    <small>{when(kept.created)}</small>
    <div class="actions">
      <button type="button" aria-pressed={kept.favourite} aria-label={t("favourite")} onClick={() => void favour(kept)}>
        <Icon name="star" />
      </button>
      <button
        type="button"
        onClick={() => {
          useAgain(kept);
          onUse();
        }}
      >
        {t("useSettings")}
      </button>
      <IconButton icon="clear" label={t("deleteRender")} onClick={() => void removeWithUndo(kept).catch(state.fail)} />
    </div>
  </li>
);
