/** Randomness for ids and salts, drawn from the system in blocks: one call per id would cost more than the id. */
import { randomFillSync } from 'node:crypto';

import {
  asApprovalId,
  asDecisionId,
  type ApprovalId,
  type DecisionId,
  uuid7,
} from '#contracts/ids.ts';

const BLOCK_BYTES = 16 * 1024;
const SALT_BYTES = 16;
const ID_BYTES = 10;

const block = Buffer.alloc(BLOCK_BYTES);
let used = BLOCK_BYTES;

/** Fresh random bytes; every byte is given out once. */
function fresh(bytes: number): Buffer {
  if (used + bytes > BLOCK_BYTES) {
    randomFillSync(block);
    used = 0;
  }
  used += bytes;
  return block.subarray(used - bytes, used);
}

/** 32 random hex digits. */
export const freshSalt = (): string => fresh(SALT_BYTES).toString('hex');

export const freshDecisionId = (at: number): DecisionId => asDecisionId(uuid7(at, fresh(ID_BYTES)));
export const freshApprovalId = (at: number): ApprovalId => asApprovalId(uuid7(at, fresh(ID_BYTES)));
