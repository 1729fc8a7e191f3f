/** What serves, for everybody; versions and their history, for who administers them. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import * as api from "../api/client";
import * as state from "../state";
import { language, t } from "../texts";
import { Dialog } from "./parts";

const rounded = (value: number): string => value.toLocaleString(language.value, { maximumFractionDigits: 3 });

export function Operations({ onClose }: { onClose: () => void }) {
  const versions = useSignal<api.Versions | undefined>(undefined);
  const why = useSignal("");
  const isAdmin = state.may("admin");
  useEffect(() => {
    void state.load();
    if (isAdmin)
      api.versions().then(
        (found) => (versions.value = found),
        (error: unknown) => (why.value = error instanceof Error ? error.message : String(error)),
      );
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
      {versions.value && <Versions found={versions.value} />}
    </Dialog>
  );
}

const Versions = ({ found: { overview, history } }: { found: api.Versions }) => (
  <>
    <table>
      <caption>{t("versionsOf")}</caption>
      <thead>
        <tr>
          {[t("model"), t("version"), t("usedAs"), "MB", t("loaded")].map((head) => (
            <th scope="col" key={head}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {overview.versions.map(({ model, version, aliases, megabytes, loaded, problem }) => (
          <tr key={`${model} ${version}`}>
            <th scope="row">{model}</th>
            <td>{version}</td>
            <td>{aliases.join(", ")}</td>
            <td>{rounded(megabytes)}</td>
            <td>{problem || t(loaded ? "yes" : "no")}</td>
          </tr>
        ))}
      </tbody>
    </table>
    {history.changes.length > 0 && (
      <table>
        <caption>{t("changesOf")}</caption>
        <tbody>
          {history.changes.map((change) => (
            <tr key={change.id}>
              <th scope="row">{new Date(change.time ?? 0).toLocaleString(language.value)}</th>
              <td>
                {change.action} {change.model} {change.to_version ?? ""} {change.who} {change.why}
              </td>
              <td>
                {typeof change.passed === "boolean" && <b>{t(change.passed ? "passed" : "notPassed")} </b>}
                {Object.entries(change.measures ?? {})
                  .map(([name, value]) => `${name} ${rounded(value)}`)
                  .join(", ")}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    )}
  </>
);
