// The verifier behind `audit verify`: believes nobody, needs only the rows of a chain as they were handed over.

import type { AuditEnd, AuditLine } from '#contracts/audit-api.ts';
import { type ChainEntry, type ChainHead, chainVerifier } from '#contracts/chain.ts';
import { payloadFault } from '#contracts/payload.ts';

export interface ChainCheck {
  readonly intact: boolean;
  /** Good rows before the end, or before the finding. */
  readonly rows: number;
  /** The last good row: write it down, and a later check can tell whether everything up to here is still the same. */
  readonly head: ChainHead;
  /** The first bad place, and what is wrong there. */
  readonly finding?: { readonly sequence: number; readonly fault: string; readonly detail: string };
}

/** The rows broke off before their end, so nothing can be said. */
export class Incomplete extends Error {}

/**
 * Checks the lines of GET audit/rows, with plain payloads or with the server's own check of them.
 * @param known a head that somebody wrote down earlier; the chain must lead through it
 * @throws Incomplete
 */
export async function checkChain(
  tenant: string,
  lines: AsyncIterable<AuditLine | AuditEnd>,
  known?: ChainHead,
): Promise<ChainCheck> {
  const verifier = chainVerifier(tenant);
  const bad = (sequence: number, fault: string, detail = ''): ChainCheck => {
    const head = verifier.head();
    return { intact: false, rows: head.sequence, head, finding: { sequence, fault, detail } };
  };
  for await (const line of lines) {
    if ('head' in line) {
      const finding = verifier.end(line.head) ?? missed(verifier.head(), known);
      if (finding !== undefined) return bad(finding.sequence, finding.fault);
      const head = verifier.head();
      return { intact: true, rows: head.sequence, head };
    }
    const result = verifier.next(line);
    if ('fault' in result) return bad(result.sequence, result.fault);
    const { sequence } = result.entry;
    if (known?.sequence === sequence && known.hash !== line.hash)
      return bad(sequence, 'history_differs');
    const fault = payloadFaultOf(result.entry, line);
    if (fault !== '') return bad(sequence, 'payload_wrong', fault);
    if (line.index_differs === true) return bad(sequence, 'index_differs');
  }
  throw new Incomplete('the rows broke off before their end');
}

/** A known head beyond the end of the chain. */
const missed = (head: ChainHead, known: ChainHead | undefined) =>
  known !== undefined && known.sequence > head.sequence
    ? { sequence: head.sequence + 1, fault: 'tail_missing' }
    : undefined;

function payloadFaultOf({ body }: ChainEntry, line: AuditLine): string {
  const { payload, payload_fault: told, erased } = line;
  if (told !== undefined) return told;
  if (erased === true && payload === null) return '';
  if (payload !== null && payload !== undefined) return payloadFault(body, payload);
  return Object.keys(body.commitments).length === 0 ? '' : 'the payload is missing';
}
