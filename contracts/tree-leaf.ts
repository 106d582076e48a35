/**
 * The leaves of the one tree over all tenants. Two kinds, told apart by their first line:
 *
 *     countersign/entry/v1 LF sequence LF hash LF tenant      an entry of a tenant's chain, by its hash
 *     countersign/head/v1 LF sequence LF hash LF tenant       where a tenant's chain ended when the tree was signed
 *
 * `sequence` in decimal digits, `hash` 64 lower-case hex digits (chain.ts), `tenant` to the end without a line break.
 * A head says nothing that its entry's leaf does not say, but that nothing came after it at that time: a cut tail
 * contradicts it.
 */
export interface TreeLeaf {
  readonly kind: 'entry' | 'head';
  readonly tenant: string;
  readonly sequence: number;
  /** 32 bytes. */
  readonly hash: Uint8Array;
}

export const treeLeaf = ({ kind, tenant, sequence, hash }: TreeLeaf): Uint8Array =>
  Buffer.from(
    `countersign/${kind}/v1\n${sequence}\n${Buffer.from(hash).toString('hex')}\n${tenant}`,
  );
