/** The versions of every model for who administers them: what they are, and what can be done with them. */

import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import * as api from "../api/client";
import { language, t } from "../texts";
import { Check, Dialog, Slider } from "./parts";

type Version = api.Versions["overview"]["versions"][number];
type Entry = api.Versions["history"]["changes"][number];

/** A change to be confirmed: what is sent where, and of which model and version. */
interface Change {
  action: "promote" | "rollback" | "withdraw" | "retire" | "canary";
  path: string;
  body: Record<string, unknown>;
  of: string;
  gate?: Entry | undefined;
}

/** Changes that ask for a passed gate, or for a reason to go without. */
const GATED: readonly Change["action"][] = ["promote", "canary"];
const EVENLY = 0.05;

const rounded = (value: number): string => value.toLocaleString(language.value, { maximumFractionDigits: 3 });
const told = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export function Versions({ found, onChange }: { found: api.Versions; onChange: () => void }) {
  const { overview, history } = found;
  const asked = useSignal<Change | undefined>(undefined);
  const said = useSignal("");
  const gateOf = ({ model, version }: Version) =>
    history.changes.find(({ action, pinned }) => action === "gate" && pinned?.[model] === version);
  return (
    <>
      <table>
        <caption>{t("versionsOf")}</caption>
        <thead>
          <tr>
            {(["model", "version", "usedAs", "megabytes", "loaded", "change"] as const).map((head) => (
              <th scope="col" key={head}>
                {t(head)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {overview.versions.map((each) => (
            <tr key={`${each.model} ${each.version}`}>
              <th scope="row">{each.model}</th>
              <td>{each.version}</td>
              <td>{each.aliases.join(", ")}</td>
              <td>{rounded(each.megabytes)}</td>
              <td>{each.problem || t(each.loaded ? "yes" : "no")}</td>
              <td>
                <div class="actions">
                  {changesOf(each, overview.versions).map((change) => (
                    <button
                      type="button"
                      key={change.action}
                      aria-label={`${t(change.action)}: ${change.of}`}
                      onClick={() => (asked.value = { ...change, gate: gateOf(each) })}
                    >
                      {t(change.action)}
                    </button>
                  ))}
                </div>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <Canary overview={overview} asked={asked} gate={history.changes.find(({ action }) => action === "gate")} />
      {history.changes.length > 0 && (
        <table>
          <caption>{t("changesOf")}</caption>
          <tbody>
            {history.changes.map((entry) => (
              <tr key={entry.id}>
                <th scope="row">{new Date(entry.time ?? 0).toLocaleString(language.value)}</th>
                <td>
                  {entry.action} {entry.model} {entry.to_version ?? ""} {entry.who} {entry.why}
                </td>
                <td>
                  <Measures entry={entry} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p role="status" class="said">
        {said.value}
      </p>
      {asked.value && (
        <Confirm
          change={asked.value}
          onClose={() => (asked.value = undefined)}
          onDone={(outcome) => {
            asked.value = undefined;
            said.value = outcome.said.join(" ");
            onChange();
          }}
        />
      )}
    </>
  );
}

/** What can be done with a version, by what it is used as. */
function changesOf({ model, version, aliases }: Version, all: Version[]): Change[] {
  const of = `${model} ${version}`;
  const champion = all.find((each) => each.model === model && each.aliases.includes("champion"))?.version;
  const promote = { action: "promote", path: `${model}/promote`, body: { version, expected: champion ?? null }, of } as const;
  const withdraw = (alias: string) => ({ action: "withdraw", path: `${model}/retire`, body: { alias }, of }) as const;
  if (aliases.includes("champion")) return [];
  if (aliases.includes("candidate")) return [promote, withdraw("candidate")];
  if (aliases.includes("previous"))
    return [{ action: "rollback", path: `${model}/rollback`, body: {}, of }, withdraw("previous")];
  return [promote, { action: "retire", path: `${model}/retire`, body: { version }, of }];
}

interface CanaryProps {
  overview: api.Versions["overview"];
  asked: Signal<Change | undefined>;
  gate: Entry | undefined;
}

/** Which share of the renders the candidates make. */
function Canary({ overview: { canary, counts, versions }, asked, gate }: CanaryProps) {
  const share = useSignal(canary.share);
  const shadow = useSignal(canary.shadow);
  const isOn = canary.share > 0 || canary.shadow > 0;
  if (!isOn && !versions.some(({ aliases }) => aliases.includes("candidate"))) return null;
  const ask = (body: Record<string, number>) =>
    (asked.value = { action: "canary", path: "canary", body, of: "", gate });
  return (
    <fieldset>
      <legend>{t("canary")}</legend>
      {isOn && (
        <p>
          {t("canaryNow", {
            share: rounded(100 * canary.share), shadow: rounded(100 * canary.shadow),
            made: counts.candidate_renders, failed: counts.failed_renders, champion: counts.champion_renders,
          })}
        </p>
      )}
      {([["share", share, 1 - EVENLY], ["shadow", shadow, 1]] as const).map(([name, value, most]) => (
        <Slider
          key={name}
          label={t(name)}
          value={value.value}
          min={0}
          max={most}
          step={EVENLY}
          shown={`${rounded(100 * value.value)} %`}
          onInput={(to) => (value.value = to)}
        />
      ))}
      <div class="actions">
        <button type="button" disabled={!share.value && !shadow.value} onClick={() => ask({ share: share.value, shadow: shadow.value })}>
          {t("canaryTry")}
        </button>
        <button type="button" disabled={!isOn} onClick={() => ask({ share: 0, shadow: 0 })}>
          {t("canaryEnd")}
        </button>
      </div>
    </fieldset>
  );
}

interface ConfirmProps {
  change: Change;
  onClose: () => void;
  onDone: (outcome: api.Outcome) => void;
}

/** What a change would do, by the gateway's own check, and whether it is to be done. */
function Confirm({ change: { action, path, body, of, gate }, onClose, onDone }: ConfirmProps) {
  const would = useSignal("");
  const wrong = useSignal("");
  const why = useSignal("");
  const force = useSignal(false);
  const send = (rest: object) => api.changeVersions(path, { ...body, why: why.value, ...rest });
  useEffect(() => {
    send({ dry_run: true }).then(
      (outcome) => (would.value = outcome.said.join(" ")),
      (error: unknown) => (wrong.value = told(error)),
    );
  }, []);
  const isGated = GATED.includes(action);
  return (
    <Dialog title={`${t(action)} ${of}`} onClose={onClose}>
      <form
        class="confirm"
        onSubmit={(event) => {
          event.preventDefault();
          send(isGated && force.value ? { force: true } : {}).then(onDone, (error: unknown) => (wrong.value = told(error)));
        }}
      >
        <p role="status">{would.value}</p>
        {wrong.value && (
          <p role="alert" class="warning">
            {wrong.value}
          </p>
        )}
        {isGated && gate && (
          <p class="hint">
            {t("gate")}: <Measures entry={gate} /> {gate.why} {gate.report}
          </p>
        )}
        <label class="field">
          <span class="field-head">{t("why")}</span>
          <input
            maxLength={500}
            required={force.value}
            value={why.value}
            onInput={(event) => (why.value = event.currentTarget.value)}
          />
        </label>
        {isGated && wrong.value && (
          <Check label={t("force")} on={force.value} onChange={(on) => (force.value = on)} />
        )}
        <div class="actions">
          <button type="submit" class="primary" disabled={!would.value && !force.value}>
            {t(action)}
          </button>
          <button type="button" onClick={onClose}>
            {t("leaveIt")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** What a gate decided, or a canary came to, in figures. */
const Measures = ({ entry: { passed, measures } }: { entry: Entry }) => (
  <>
    {typeof passed === "boolean" && <b>{t(passed ? "passed" : "notPassed")} </b>}
    {Object.entries(measures ?? {})
      .map(([name, value]) => `${name} ${rounded(value)}`)
      .join(", ")}
  </>
);
