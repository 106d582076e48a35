// What a receipt is worth: is it signed, and is it what the record of its decision commits to?

import { ALLOW_VALID_MS } from '#contracts/call.ts';
import { openReceipt, type ReceiptStatement } from '#contracts/receipt.ts';

export type ReceiptCheck =
  | { readonly holds: true; readonly statement: ReceiptStatement }
  /** `finding` names the first thing that is wrong. */
  | { readonly holds: false; readonly finding: string; readonly statement?: ReceiptStatement };

/** A receipt alone: its own key has signed it. Whose key that is, only the record tells. */
export function checkReceipt(text: string): ReceiptCheck {
  const statement = openReceipt(text);
  return statement === undefined
    ? { holds: false, finding: 'not a receipt, or its signature is wrong' }
    : { holds: true, statement };
}

/** A receipt against the leaf of its decision. */
export function checkAgainst(
  statement: ReceiptStatement,
  leaf: Readonly<Record<string, unknown>>,
): ReceiptCheck {
  const { commitments, policies } = leaf as {
    readonly commitments?: Readonly<Record<string, unknown>>;
    readonly policies?: readonly { readonly role: string; readonly digest: string }[];
  };
  const policy = policies?.find(({ role }) => role === 'tenant')?.digest ?? '';
  const recorded: readonly (readonly [keyof ReceiptStatement, unknown])[] = [
    ['decision_id', leaf['id']],
    ['key', leaf['receipt_key']],
    ['call', commitments?.['call']],
    ['tenant', leaf['tenant']],
    ['upstream', leaf['upstream']],
    ['tool', leaf['tool']],
    ['verdict', leaf['verdict']],
    ['policy', policy],
    ['at', leaf['at']],
    ['exp', Number(leaf['at']) + ALLOW_VALID_MS],
    ['worker', leaf['worker']],
  ];
  const other = recorded.find(([name, value]) => statement[name] !== value);
  if (other === undefined) return { holds: true, statement };
  return { holds: false, finding: `${other[0]} is not that of the record`, statement };
}
