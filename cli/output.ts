// What a person or a script gets to see from a command: lines, tables, JSON, and errors with the next step.
// Standard output carries results only; progress and errors go to standard error.

import { styleText } from 'node:util';

/** Exit codes of every command. `finding`: it ran and has bad news; `misuse`: wrong arguments. */
export const EXIT = { ok: 0, finding: 1, misuse: 2, failed: 3 } as const;

/** A problem told in one line, with the step that helps. Anything else that is thrown is a bug. */
export class CliError extends Error {
  readonly exitCode: number;
  readonly help: string | undefined;

  constructor(
    message: string,
    options: { exitCode?: number; help?: string; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'CliError';
    this.exitCode = options.exitCode ?? EXIT.failed;
    this.help = options.help;
  }
}

/** One line of a result. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** The whole result for `--json`: one document, indented. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** A line about what is going on, for the eyes only. */
export function progress(line: string): void {
  process.stderr.write(`${paint('dim', line, process.stderr)}\n`);
}

/** Rows in aligned columns, with a heading when given. */
export function printTable(
  rows: readonly (readonly string[])[],
  heading?: readonly string[],
): void {
  const [head, ...body] = alignColumns(heading === undefined ? [[], ...rows] : [heading, ...rows]);
  if (heading !== undefined) print(paint('dim', head ?? ''));
  for (const line of body) print(line);
}

/** Each row as one line whose columns start where those of the other rows start. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** Text in a style where the stream is a terminal that wants colour (NO_COLOR is respected). */
export function paint(
  style: Parameters<typeof styleText>[0],
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  return styleText(style, text, { stream });
}

/** What helps when the system itself refuses, by its error code. */
const SYSTEM_HELP: Readonly<Record<string, string>> = {
  EACCES: 'the file belongs to another user: run this as that user, or chown it',
  EPERM: 'the file belongs to another user: run this as that user, or chown it',
  ENOSPC: 'free some disk space   (./countersign doctor shows how much there is)',
  EROFS: 'the disk is read-only: set COUNTERSIGN_DIR to a folder that can be written',
};

/** Tells an error on standard error, as JSON for scripts, and gives the exit code. */
export function reportError(error: unknown, json: boolean): number {
  const { message, help, exitCode } = asCliError(error);
  if (json) {
    process.stderr.write(`${JSON.stringify({ error: { message, help, exit_code: exitCode } })}\n`);
    return exitCode;
  }
  process.stderr.write(`${paint('red', 'error:', process.stderr)} ${message}\n`);
  if (help !== undefined) process.stderr.write(`  next: ${help}\n`);
  return exitCode;
}

function asCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (!(error instanceof Error)) return new CliError(String(error));
  const help = SYSTEM_HELP[String((error as { code?: unknown }).code)];
  if (help !== undefined) return new CliError(error.message, { cause: error, help });
  return new CliError(error.stack ?? error.message, {
    cause: error,
    help: 'this is a defect; please report it with these lines',
  });
}
