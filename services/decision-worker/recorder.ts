import type { TenantId } from '#contracts/ids.ts';
/**
 * Durable recording, grouped: while one publish is in flight, records of concurrent calls collect, then go out as
 * one stored message. One disk sync serves all callers that wait; alone, sync-always caps at a few thousand a second.
 */
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX, encodeRecords } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { NotFirst, type PublishRecord } from '#host/publish.ts';

import type { Release } from './decide.ts';
import type { SignReceipts } from './receipts.ts';
import type { DecisionRecord } from './record.ts';

/** Where a record stands: sequence of the stored message and index of the record in it. */
export interface Position {
  readonly sequence: number;
  readonly index: number;
  /** Where the record asked for one. */
  readonly receipt?: string;
}

export interface Recorder {
  /** Resolves once the stream has acknowledged. @throws NotRecorded: the caller MUST answer block */
  readonly record: (record: DecisionRecord, shard: number) => Promise<Position>;
  /** Records an escalated decision, alone. @throws NotRecorded */
  readonly hold: (record: DecisionRecord, tenant: TenantId) => Promise<Position>;
  /**
   * Records the use of an approval, alone and as the first message of its subject: whoever comes second gets none.
   * @throws NotFirst when no use is left, NotRecorded
   */
  readonly use: (
    record: DecisionRecord,
    tenant: TenantId,
    approval: Pick<Release, 'approvalId' | 'uses' | 'used'>,
  ) => Promise<Position>;
  readonly waiting: () => number;
}

/** Two messages in flight keep the disk busy while the next group collects (bench/, row "grouped publish"). */
const IN_FLIGHT_MAX = 2;

interface Waiting {
  readonly record: DecisionRecord;
  readonly shard: number;
  readonly resolve: (position: Position) => void;
  readonly reject: (error: unknown) => void;
}

/** @param timeoutMs after which an unacknowledged group counts as not recorded */
export function createRecorder(
  publish: PublishRecord,
  timeoutMs: number,
  sign: SignReceipts,
): Recorder {
  let queue: Waiting[] = [];
  let inFlight = 0;
  let scheduled = false;

  const send = async (group: readonly Waiting[]) => {
    inFlight += 1;
    try {
      const records = group.map(({ record }) => record);
      const publishing = publish(
        SUBJECTS.decisionBatch(group[0]?.shard ?? 0),
        encodeRecords(records),
        { timeoutMs },
      );
      const receipts = sign(records); // while the disk syncs; they leave only with the answers
      const { sequence } = await publishing;
      for (const [index, { resolve }] of group.entries()) {
        const receipt = receipts[index];
        resolve({ sequence, index, ...(receipt === undefined ? {} : { receipt }) });
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    } finally {
      inFlight -= 1;
      flush();
    }
  };

  const flush = () => {
    scheduled = false;
    while (queue.length > 0 && inFlight < IN_FLIGHT_MAX) {
      const size = groupSize(queue);
      const group = queue.slice(0, size);
      queue = queue.slice(size);
      void send(group);
    }
  };

  const alone = async (
    record: DecisionRecord,
    subject: string,
    options: { readonly first?: true } = {},
  ): Promise<Position> => {
    const { sequence } = await publish(subject, encodeRecords([record]), { timeoutMs, ...options });
    const [receipt] = sign([record]);
    return { sequence, index: 0, ...(receipt === undefined ? {} : { receipt }) };
  };

  return {
    waiting: () => queue.length,
    record: (record, shard) =>
      new Promise((resolve, reject) => {
        queue.push({ record, shard, resolve, reject });
        if (scheduled || inFlight >= IN_FLIGHT_MAX) return;
        scheduled = true;
        setImmediate(flush); // calls of one event-loop turn share a message
      }),
    hold: (record, tenant) => alone(record, SUBJECTS.decisionHold(tenant)),
    use: async (record, tenant, { approvalId, uses, used }) => {
      for (let k = used + 1; k <= uses; k++) {
        try {
          return await alone(record, SUBJECTS.use(tenant, approvalId, k), { first: true });
        } catch (error) {
          if (!(error instanceof NotFirst)) throw error;
        }
      }
      throw new NotFirst('every use of this approval is taken');
    },
  };
}

/** How many from the front fit one message: same shard, bounded in count and bytes; a large record goes alone. */
function groupSize(queue: readonly Waiting[]): number {
  const shard = queue[0]?.shard;
  let bytes = 0;
  let size = 0;
  for (const waiting of queue) {
    bytes += waiting.record.bytes;
    if (size > 0 && (bytes > BATCH_BYTES_MAX || waiting.shard !== shard)) break;
    size += 1;
    if (size === BATCH_RECORDS_MAX) break;
  }
  return size;
}
