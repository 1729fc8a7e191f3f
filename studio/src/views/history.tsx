/** What this browser has rendered: the newest along the page's foot, all of it in a dialog. */

import { useSignal } from "@preact/signals";
import { saveBoard } from "../board";
import { urlOf } from "../files";
import * as database from "../keep/database";
import type { Kept, Which } from "../keep/database";
import * as state from "../state";
import { language, t } from "../texts";
import { Dialog, Icon, IconButton } from "./parts";
import { favour, useAgain } from "./result";

const NEWEST = 24;

const when = (created: number): string =>
  new Date(created).toLocaleString(language.value, { dateStyle: "medium", timeStyle: "short" });

const nameOf = ({ wish, created }: Kept): string => t("renderOf", { prompt: wish.prompt, when: when(created) });

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

const Thumbnail = ({ kept }: { kept: Kept }) =>
  kept.thumbnail ? (
    <img src={urlOf(kept.thumbnail)} alt="" loading="lazy" />
  ) : (
    <span class="blank" aria-hidden="true">
      !
    </span>
  );

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
  const sought = words.value.trim().toLowerCase();
  const shown = state.renders.value.filter(
    ({ wish, style, favourite, state }) =>
      state !== "running" &&
      (!favourites.value || favourite) &&
      `${wish.prompt} ${style?.name ?? ""}`.toLowerCase().includes(sought),
  );
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
        <label class="switch">
          <input
            type="checkbox"
            role="switch"
            checked={favourites.value}
            onChange={(event) => (favourites.value = event.currentTarget.checked)}
          />
          <span>{t("onlyFavourites")}</span>
        </label>
        <span class="hint" role="status">
          {t("count", { n: shown.length })}
        </span>
        <button
          type="button"
          disabled={!shown.some(({ state }) => state === "done")}
          onClick={() =>
            void saveBoard(shown.filter(({ state }) => state === "done").slice(0, 8)).catch(state.fail)
          }
        >
          {t("board")}
        </button>
      </div>
      <ul class="cards">
        {shown.map((kept) => (
          <li class="card" key={kept.id}>
            <button
              type="button"
              class="thumbnail"
              aria-label={nameOf(kept)}
              onClick={() => {
                look(kept);
                onClose();
              }}
            >
              <Thumbnail kept={kept} />
            </button>
            <p title={kept.wish.prompt}>{kept.wish.prompt}</p>
            <small>{when(kept.created)}</small>
            <div class="actions">
              <button
                type="button"
                aria-pressed={kept.favourite}
                aria-label={t("favourite")}
                onClick={() => void favour(kept)}
              >
                <Icon name="star" />
              </button>
              <button
                type="button"
                onClick={() => {
                  useAgain(kept);
                  onClose();
                }}
              >
                {t("useSettings")}
              </button>
              <IconButton icon="clear" label={t("deleteRender")} onClick={() => void removeWithUndo(kept).catch(state.fail)} />
            </div>
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p class="hint">{t("noRenders")}</p>}
    </Dialog>
  );
}
