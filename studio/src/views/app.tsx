/** The whole page. */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import * as api from "../api/client";
import { picturesIn, take } from "../files";
import { busy, cancel, render } from "../jobs";
import * as state from "../state";
import { LANGUAGES, type Language, language, speak, t } from "../texts";
import { Composer } from "./composer";
import { History, Strip } from "./history";
import { Library } from "./library";
import { Operations } from "./operations";
import { Panel } from "./panel";
import { Dialog, IconButton } from "./parts";
import { Printed } from "./printed";
import { Result } from "./result";
import { Sheet, TOOLS, Tools, redo, surface, toggle, undo } from "./sheet";

const DIALOGS = { history: History, library: Library, operations: Operations, help: Help };

export function App() {
  const open = useSignal<"" | keyof typeof DIALOGS>("");
  useSignalEffect(() => {
    document.documentElement.lang = language.value;
    document.title = `maquette ${t("studio")}`;
  });
  useEffect(() => {
    const keys = (event: KeyboardEvent) => onKey(event, () => (open.value = "help"));
    const paste = (event: ClipboardEvent) => {
      const [picture] = picturesIn(event.clipboardData);
      if (picture) void take(picture).catch(state.fail);
    };
    addEventListener("keydown", keys);
    addEventListener("paste", paste);
    // Beside the sheet, a dropped file would be opened instead of the page.
    addEventListener("dragover", prevent);
    addEventListener("drop", prevent);
    return () => {
      removeEventListener("keydown", keys);
      removeEventListener("paste", paste);
      removeEventListener("dragover", prevent);
      removeEventListener("drop", prevent);
    };
  }, []);
  const Shown = open.value && DIALOGS[open.value];
  if (state.locked.value !== undefined) return <SignIn why={state.locked.value} />;
  return (
    <>
      <a class="skip" href="#sheet">
        {t("skip")}
      </a>
      <Head onOpen={(name) => (open.value = name)} />
      <main data-pane={state.pane.value}>
        <Tools />
        <div class="panes" role="tablist" aria-label={`${t("sketch")}, ${t("result")}`}>
          {(["draw", "result"] as const).map((pane) => (
            <button
              type="button"
              role="tab"
              key={pane}
              aria-selected={state.pane.value === pane}
              onClick={() => (state.pane.value = pane)}
            >
              {t(pane === "draw" ? "sketch" : "result")}
            </button>
          ))}
        </div>
        <div class="stage">
          <Sheet />
          <Result />
        </div>
        <Composer />
        <Strip onAll={() => (open.value = "history")} />
        <Panel />
      </main>
      <Notice />
      <Printed />
      <p class="visually-hidden" role="status" aria-live="polite">
        {state.spoken.value}
      </p>
      {Shown && <Shown onClose={() => (open.value = "")} />}
    </>
  );
}

const prevent = (event: Event): void => event.preventDefault();

function onKey(event: KeyboardEvent, help: () => void): void {
  const inText = event.target instanceof HTMLElement && event.target.matches("input:not([type=range], [type=checkbox]), select, textarea");
  const command = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (document.querySelector("dialog[open]")) return;
  if (command && key === "enter") void render().catch(state.fail);
  else if (event.key === "Escape" && busy.value) void cancel();
  else if (inText || event.altKey) return;
  else if (command && key === "z") (event.shiftKey ? redo : undo)();
  else if (command && key === "y") redo();
  else if (command) return;
  else if (key === "?") help();
  else if (key === "g") toggle("grid");
  else if (key === "v") toggle("vanishing");
  else if (key === "0") surface.current?.fit();
  else if (key === "+") surface.current?.zoom(1.25);
  else if (key === "-") surface.current?.zoom(0.8);
  else {
    const chosen = TOOLS.find(({ keys }) => keys.toLowerCase() === key);
    if (!chosen) return;
    state.tool.value = chosen.tool;
    state.spoken.value = t(chosen.tool);
  }
  event.preventDefault();
}

function Head({ onOpen }: { onOpen: (name: keyof typeof DIALOGS) => void }) {
  const { info, online } = state;
  return (
    <header class="head">
      <h1>
        maquette <span>{t("studio")}</span>
      </h1>
      <p class="state" data-online={online.value}>
        {online.value ? info.value?.pack : t("reconnecting")}
      </p>
      <label class="select">
        <span class="visually-hidden">{t("language")}</span>
        <select value={language.value} onChange={(event) => speak(event.currentTarget.value as Language)}>
          {Object.entries(LANGUAGES).map(([code, name]) => (
            <option key={code} value={code} lang={code}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {state.may("styles") && <IconButton icon="shelf" label={t("library")} onClick={() => onOpen("library")} />}
      <IconButton icon="pulse" label={t("operations")} onClick={() => onOpen("operations")} />
      <IconButton icon="theme" label={t("theme")} onClick={changeTheme} />
      <IconButton icon="help" label={t("help")} keys="?" onClick={() => onOpen("help")} />
      {state.signedIn.value && (
        <IconButton icon="out" label={t("signOut")} onClick={() => void leave()} />
      )}
    </header>
  );
}

function changeTheme(): void {
  const root = document.documentElement;
  const isDark = root.dataset["theme"]
    ? root.dataset["theme"] === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset["theme"] = isDark ? "light" : "dark";
  localStorage.setItem("maquette-theme", root.dataset["theme"]);
}

async function leave(): Promise<void> {
  try {
    await api.signOut();
    await state.load();
  } catch (error) {
    state.fail(error);
  }
}

function Notice() {
  const now = state.notice.value;
  return (
    <div class="notices" role={now?.kind === "error" ? "alert" : "status"}>
      {now && (
        <div class={`notice ${now.kind}`}>
          <p>{now.text}</p>
          {now.action && (
            <button
              type="button"
              onClick={() => {
                state.notice.value = undefined;
                now.action!.run();
              }}
            >
              {now.action.label}
            </button>
          )}
          <IconButton icon="close" label={t("close")} onClick={() => (state.notice.value = undefined)} />
        </div>
      )}
    </div>
  );
}

function SignIn({ why }: { why: string }) {
  const wrong = useSignal("");
  return (
    <main class="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const field = event.currentTarget.elements.namedItem("key") as HTMLInputElement;
          api.signIn(field.value.trim()).then(
            () => {
              field.value = "";
              return state.load();
            },
            (error: unknown) => (wrong.value = error instanceof Error ? error.message : String(error)),
          );
        }}
      >
        <h1>
          maquette <span>{t("studio")}</span>
        </h1>
        <p>{t("signInWhy")}</p>
        <label class="field">
          <span class="field-head">{t("key")}</span>
          <input name="key" type="password" autocomplete="off" required aria-describedby="why" autofocus />
        </label>
        <p id="why" role="alert" class={wrong.value ? "warning" : "hint"}>
          {wrong.value || why}
        </p>
        <button type="submit" class="primary">
          {t("signIn")}
        </button>
        <p class="hint">{t("signInHow")}</p>
      </form>
    </main>
  );
}

function Help({ onClose }: { onClose: () => void }) {
  const rows: [string, string][] = [
    ...TOOLS.map(({ keys, tool }): [string, string] => [keys, t(tool)]),
    ["Ctrl+Z", t("undo")],
    ["Ctrl+Shift+Z", t("redo")],
    ["G", t("grid")],
    ["V", t("vanishing")],
    ["+ − 0", `${t("zoomIn")}, ${t("zoomOut")}, ${t("fit")}`],
    [t("keySpace"), t("pan")],
    [t("keyWheel"), t("zoom")],
    [t("keyAlt"), t("keyAltWhat")],
    [t("keyDraw"), t("keyDrawWhat")],
    ["Ctrl+Enter", t("render")],
    ["Escape", t("cancel")],
    ["?", t("help")],
  ];
  return (
    <Dialog title={t("help")} onClose={onClose}>
      <table>
        <tbody>
          {rows.map(([keys, what]) => (
            <tr key={keys}>
              <th scope="row">
                <kbd>{keys}</kbd>
              </th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Dialog>
  );
}
