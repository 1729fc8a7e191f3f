import { render } from "preact";
import "./style.css";
import { resume } from "./jobs";
import { wishIn } from "./link";
import * as state from "./state";
import { t } from "./texts";
import { App } from "./views/app";
import { sizesOf } from "./wish";

const theme = localStorage.getItem("maquette-theme");
if (theme) document.documentElement.dataset["theme"] = theme;

async function begin(): Promise<void> {
  const been = await state.restore();
  await state.load();
  fitSize(been);
  openLink();
  await resume();
}

/** The size that the pack is made for, unless the last visit's (`been`) is one that it takes. */
function fitSize(been: boolean): void {
  if (!state.info.value) return;
  const sizes = sizesOf(state.info.value);
  const { width, height } = state.wish.value;
  const known = been && sizes.some((size) => size.width === width && size.height === height);
  if (!known || !state.drawing.value.elements.length) state.resize(known ? { width, height } : sizes[0]!);
}

/** Take the settings out of the link that led here. */
function openLink(): void {
  const linked = wishIn(location.hash);
  if (!linked) return;
  history.replaceState(null, "", location.pathname + location.search);
  state.resize({ width: linked.width, height: linked.height });
  state.set(linked);
  state.tell(t("linked"));
}

render(<App />, document.getElementById("app")!);
addEventListener("hashchange", openLink);
addEventListener("online", () => void state.load());
begin().catch(state.fail);
