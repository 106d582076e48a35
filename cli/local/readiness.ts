// Asks a part whether it can do its work. The answer is a sentence: empty = ready, else what it still waits for.

/** A question to one part. Never throws. */
export type Probe = () => Promise<string>;

const ANSWER_MS_MAX = 1_000;

/** Asks an address that answers 2xx when ready; our services name their reasons in the answer. */
export async function whyNotReady(url: string): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    const text = await response.text();
    return response.ok ? '' : reasonsIn(text, response.status);
  } catch {
    return 'does not answer yet';
  }
}

function reasonsIn(text: string, status: number): string {
  try {
    const { reasons } = JSON.parse(text) as { reasons?: readonly string[] };
    if (Array.isArray(reasons) && reasons.length > 0) return reasons.join('; ');
  } catch {
    // Not one of ours; its status has to do.
  }
  return `answers ${status}`;
}
