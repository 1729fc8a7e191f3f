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

const projectOf = ({ project = "" }: Kept): string => project;

/** Have `renders` belong to `project`; with an empty one, to none. */
async function moveTo(project: string, renders: Kept[]): Promise<void> {
  for (const kept of renders) await database.put({ ...kept, project });
  await state.reloadRenders();
}

export function History({ onClose }: { onClose: () => void }) {
  const words = useSignal("");
  const favourites = useSignal(false);
  const asTree = useSignal(false);
  const project = useSignal(state.project.value);
  const projects = [...new Set(state.renders.value.map(projectOf))].filter(Boolean).sort();
  const sought = words.value.trim().toLowerCase();
  const shown = state.renders.value.filter(
    (kept) =>
      kept.state !== "running" &&
      (!favourites.value || kept.favourite) &&
      (!project.value || projectOf(kept) === project.value) &&
      `${kept.wish.prompt} ${kept.style?.name ?? ""}`.toLowerCase().includes(sought),
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
        {projects.length > 0 && (
          <label class="select">
            <span class="visually-hidden">{t("project")}</span>
            <select
              value={project.value}
              onChange={({ currentTarget }) => (project.value = state.project.value = currentTarget.value)}
            >
              <option value="">{t("allProjects")}</option>
              {projects.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        )}
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
      <form
        class="history-head"
        onSubmit={(event) => {
          event.preventDefault();
          const field = event.currentTarget.elements.namedItem("project") as HTMLInputElement;
          void moveTo(field.value.trim(), shown).catch(state.fail);
          project.value = state.project.value = field.value.trim();
          field.value = "";
        }}
      >
        <input type="text" name="project" list="projects" maxLength={60} aria-label={t("projectName")} placeholder={t("projectName")} />
        <datalist id="projects">
          {projects.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <button type="submit" disabled={!shown.length}>
          {t("toProject", { n: shown.length })}
        </button>
      </form>
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
    <small>{[kept.project, when(kept.created)].filter(Boolean).join(", ")}</small>
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
