/** What is said about a policy's sources: where, how bad, and what to do. */
import { whyLeftOut } from './capabilities.ts';

export interface Finding {
  /** An error keeps the bundle from being made. */
  readonly severity: 'error' | 'warning';
  /** Path in the bundle, "" when it is about the whole of it. */
  readonly file: string;
  /** From 1; 0 without a place. */
  readonly line: number;
  readonly column: number;
  /** `bundle.*`, `facts.*`, `test.*`, `smoke.*` of ours, `rego_*` of opa. */
  readonly code: string;
  readonly message: string;
}

/** An error about a file, or about the bundle as a whole. */
export const errorIn = (
  file: string,
  code: string,
  message: string,
  at: { line?: number; column?: number } = {},
): Finding => ({
  severity: 'error',
  file,
  line: at.line ?? 0,
  column: at.column ?? 0,
  code,
  message,
});

export const asWarning = (finding: Finding): Finding => ({ ...finding, severity: 'warning' });

interface OpaError {
  readonly message?: string;
  readonly code?: string;
  readonly location?: { readonly file?: string; readonly row?: number; readonly col?: number };
  readonly details?: { readonly have?: unknown; readonly oneOf?: readonly unknown[] };
}

/** The findings in an answer of `opa ... --format json`. */
export function findingsOf(answer: string): Finding[] {
  const errors = parseErrors(answer);
  if (errors === undefined) {
    const words = answer.trim();
    return [errorIn('', 'opa', words === '' ? 'opa failed without a word' : words.slice(0, 2_000))];
  }
  return errors.map(({ message = '', code = 'opa', location, details }) =>
    errorIn(location?.file ?? '', code, explained(message, details), {
      line: location?.row ?? 0,
      column: location?.col ?? 0,
    }),
  );
}

function parseErrors(answer: string): readonly OpaError[] | undefined {
  try {
    const { errors } = JSON.parse(answer) as { errors?: readonly OpaError[] };
    return errors;
  } catch {
    return undefined;
  }
}

/** opa's words, with what an author needs to act on them. */
function explained(message: string, details: OpaError['details']): string {
  const name = /^undefined function (\S+)$/.exec(message)?.[1];
  if (name !== undefined) {
    const why = whyLeftOut(name) ?? 'policies/README.md lists the functions that there are';
    return `${message}: ${why}`;
  }
  const known = details?.oneOf?.map(String).join(', ');
  return known === undefined || known === '' ? message : `${message}; there is ${known}`;
}
