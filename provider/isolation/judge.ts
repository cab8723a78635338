/** What the probes of a restored VM mean beside their controls: pure. */
import type { Observation, ProbeResult } from "../contract/isolation";

export interface IsolationJudgement {
  readonly results: ProbeResult[];
  /** Probes that were answered, one text each: each is a way out. */
  readonly waysOut: string[];
  /** Probes whose silence proves nothing, one text each. */
  readonly unproven: string[];
  /** Whether anything was sent at all: where nothing was, nothing is proved of the network. */
  readonly wasSent: boolean;
}

/** Puts each probe beside its control. */
export function judgeIsolation(
  observations: readonly Observation[],
  controls: readonly Observation[],
): IsolationJudgement {
  const results = observations.map((seen): ProbeResult => {
    const control = controls.find(({ probe }) => probe === seen.probe);
    return {
      ...seen,
      control: control === undefined ? "none" : control.outcome === "answered" ? "answered" : "silent",
    };
  });
  return {
    results,
    waysOut: results
      .filter(({ outcome }) => outcome === "answered")
      .map(({ probe, detail }) => `${probe} answered (${detail})`),
    unproven: results.flatMap((result) => unprovenText(result, controls) ?? []),
    wasSent: results.some(({ outcome }) => outcome !== "not-sent"),
  };
}

function unprovenText(result: ProbeResult, controls: readonly Observation[]): string | undefined {
  const { probe, outcome, detail, control } = result;
  if (outcome === "answered") return undefined;
  if (outcome === "not-sent") {
    return `The silence of ${probe} proves nothing: the restored VM could not ask it (${detail}).`;
  }
  // Where nothing was asked on the source VM there is one finding for all of them.
  if (control !== "silent") return undefined;
  const seen = controls.find((one) => one.probe === probe)?.detail ?? "";
  return `The silence of ${probe} proves nothing: it does not answer the source VM either (${seen}).`;
}

/** One line for the phase. */
export function summaryOf(results: readonly ProbeResult[]): string {
  const proven = results.filter(({ outcome, control }) => outcome === "silent" && control === "answered").length;
  return `${results.length} probes from inside, none answered; ${proven} of them are answered on the source VM`;
}
