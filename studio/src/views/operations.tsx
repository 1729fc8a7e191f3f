/** What serves, for everybody; versions, for who administers them. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import * as api from "../api/client";
import * as state from "../state";
import { t } from "../texts";
import { Dialog } from "./parts";
import { Versions } from "./versions";

export function Operations({ onClose }: { onClose: () => void }) {
  const versions = useSignal<api.Versions | undefined>(undefined);
  const why = useSignal("");
  const isAdmin = state.may("admin");
  const look = () =>
    void api.versions().then(
      (found) => (versions.value = found),
      (error: unknown) => (why.value = error instanceof Error ? error.message : String(error)),
    );
  useEffect(() => {
    void state.load();
    if (isAdmin) look();
  }, []);
  const info = state.info.value;
  const ready = info?.models.filter((model) => model.ready).length ?? 0;
  const rows: [string, string][] = [
    [t("gateway"), info?.version ?? ""],
    ["Triton", info?.triton_version ?? ""],
    [t("pack"), `${info?.pack ?? ""} ${info?.pack_revision ?? ""}`],
    [t("models"), t("modelsReady", { n: ready, all: info?.models.length ?? 0 })],
    [t("scopes"), info?.scopes.join(", ") ?? ""],
  ];
  return (
    <Dialog title={t("operations")} onClose={onClose} wide>
      {info?.problem && <p class="warning">{info.problem}</p>}
      <table>
        <tbody>
          {rows.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {why.value && <p class="hint">{why.value}</p>}
      {versions.value && <Versions found={versions.value} onChange={look} />}
    </Dialog>
  );
}
