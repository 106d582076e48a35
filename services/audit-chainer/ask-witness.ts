/** One POST /add-checkpoint to one witness, ours or a stranger's (https://c2sp.org/tlog-witness). Its answer is untrusted. */

export interface Submission {
  readonly oldSize: number;
  /** Consistency proof from the old size to that of the note. */
  readonly proof: readonly Uint8Array[];
  /** The signed checkpoint. */
  readonly note: string;
}

export type WitnessAnswer =
  /** Signature lines; whose they are is still to be checked. */
  | { readonly kind: 'cosigned'; readonly lines: string }
  /** It has cosigned this size last: the proof must start there. */
  | { readonly kind: 'other_size'; readonly size: number }
  /** It will not cosign this: it does not know us, or our tree does not continue what it saw. */
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'away'; readonly why: string };

const ANSWER_MS_MAX = 5_000;
const ANSWER_BYTES_MAX = 64 * 1024;

/** Never throws. @param url submission prefix of the witness */
export async function askWitness(
  url: string,
  submission: Submission,
  stopped: AbortSignal,
): Promise<WitnessAnswer> {
  try {
    const response = await fetch(`${url.replace(/\/+$/, '')}/add-checkpoint`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain; charset=utf-8' },
      body: bodyOf(submission),
      redirect: 'error',
      signal: AbortSignal.any([stopped, AbortSignal.timeout(ANSWER_MS_MAX)]),
    });
    return read(response.status, response.headers.get('content-type'), await textOf(response));
  } catch (error) {
    const { message, cause } = error as Error;
    return { kind: 'away', why: cause instanceof Error ? cause.message : message };
  }
}

const bodyOf = ({ oldSize, proof, note }: Submission): string =>
  [`old ${oldSize}`, ...proof.map((hash) => Buffer.from(hash).toString('base64')), '', note].join(
    '\n',
  );

/** Statuses that say something about this checkpoint; any other is a witness that is not well. */
const REFUSALS: Readonly<Record<number, string>> = {
  400: 'it cannot read the checkpoint (400)',
  403: 'it does not know the key of this log (403)',
  404: 'it does not know this log (404)',
  409: 'it has seen another tree of this size (409)',
  422: 'this tree does not continue the one that it has seen (422)',
};

function read(status: number, type: string | null, text: string): WitnessAnswer {
  if (status === 200) return { kind: 'cosigned', lines: text };
  if (status === 409 && type?.startsWith('text/x.tlog.size') === true) {
    const size = /^(0|[1-9]\d{0,15})\n$/.exec(text)?.[1];
    if (size !== undefined) return { kind: 'other_size', size: Number(size) };
  }
  const refusal = REFUSALS[status];
  return refusal === undefined
    ? { kind: 'away', why: `it answers ${status}` }
    : { kind: 'refused', why: refusal };
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error('it answers too much');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
