/** The check window of a run: until the last check of any of its services is done, containers are watched for restarts. */

/** Checks under way, by run id. All services of a run are checked by this one process. */
const underWay = new Map<string, Set<Promise<unknown>>>();

/**
 * Adds checks to the window of a run.
 *
 * @returns a function that waits until every check in the window is done, those included that joined later.
 */
export function joinWindow(runId: string, checks: readonly Promise<unknown>[]): () => Promise<void> {
  const window = underWay.get(runId) ?? new Set();
  underWay.set(runId, window);
  const joined: Promise<unknown> = Promise.allSettled(checks).then(() => window.delete(joined));
  window.add(joined);
  return async () => {
    while (window.size > 0) await Promise.all(window);
    underWay.delete(runId);
  };
}
