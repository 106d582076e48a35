// What every row of the bench gets, and what it gives back for the JSON file.

import type { Table } from './table.ts';

export interface RowContext {
  /** Arguments behind the row's name. */
  readonly args: readonly string[];
  readonly rounds: number;
  /** Short windows: to see that it works, not to compare. */
  readonly quick: boolean;
  readonly log: (line: string) => void;
  /** Prints a table. */
  readonly table: (table: Table) => void;
}

/** Measures, prints, and gives its figures. Whatever it started has ended when it resolves. */
export type Row = (context: RowContext) => Promise<Readonly<Record<string, unknown>>>;
