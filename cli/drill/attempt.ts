import type { Progress } from "../progress";
import type { PulumiResult } from "./pulumi";

/** A step whose failure is a result: it is shown as failed, and whoever asked for it goes on to the end. */
export async function attempt(
  progress: Progress,
  title: string,
  work: (onLine: (line: string) => void) => Promise<PulumiResult>,
): Promise<PulumiResult> {
  let result: PulumiResult | undefined;
  try {
    return await progress.step(title, async (step) => {
      result = await work((line) => step.detail(line.trim()));
      if (result.code !== 0) throw new StepFailed();
      return result;
    });
  } catch (error) {
    if (error instanceof StepFailed && result !== undefined) return result;
    throw error;
  }
}

class StepFailed extends Error {}
