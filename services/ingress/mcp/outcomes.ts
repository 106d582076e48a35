/** What became of an allowed call, recorded before the agent hears of it. */
import { canonical, type JsonObject } from '#contracts/json.ts';
import type { OutcomeStatus } from '#contracts/outcome.ts';
import { sha256 } from '#contracts/record.ts';
import { NotRecorded } from '#host/publish.ts';

import type { Exchange } from './exchange.ts';
import { isObject } from './message.ts';
import type { Answered } from './relay.ts';
import type { Owed } from './resume.ts';

type Judged = Pick<Owed, 'decisionId' | 'validUntil'>;

export interface Became {
  readonly status: OutcomeStatus;
  readonly detail: JsonObject;
}

/** Records an outcome; false when the stream did not acknowledge it. */
export async function recordOutcome(
  { parts, caller }: Pick<Exchange, 'parts' | 'caller'>,
  judged: Judged,
  { status, detail }: Became,
): Promise<boolean> {
  try {
    await parts.reportOutcome({
      tenant: caller.tenant,
      decisionId: judged.decisionId,
      status,
      reportedBy: 'ingress',
      detail: canonical(detail),
      late: isLate(judged),
    });
    return true;
  } catch (error) {
    if (!(error instanceof NotRecorded)) throw error;
    parts.log.error({ decision_id: judged.decisionId, status }, 'an outcome was not recorded');
    return false;
  }
}

/** After the end of the decision's validity. */
export const isLate = ({ validUntil }: Judged): boolean => Date.now() > Date.parse(validUntil);

/** What an upstream's answer says about the call: its digest and size, never its content. */
export function becameOf({ text, message, status }: Answered): Became {
  const { result, error } = message;
  const failed = !isObject(result) || result['isError'] === true;
  const type = isObject(result) ? result['resultType'] : undefined;
  const code = isObject(error) ? error['code'] : undefined;
  return {
    status: failed ? 'failed' : 'executed',
    detail: {
      answer_bytes: Buffer.byteLength(text),
      answer_hash: sha256(text),
      http_status: status,
      ...(typeof type === 'string' ? { result_type: type.slice(0, 64) } : {}),
      ...(typeof code === 'number' && Number.isSafeInteger(code) ? { error_code: code } : {}),
    },
  };
}
