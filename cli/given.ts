// Values that a person gives on the command line: JSON or a file of it, durations, repeated options.

import { readFileSync } from 'node:fs';

import { InvalidArgumentError } from 'commander';

import { CliError, EXIT } from '#cli/output.ts';

/** The value of `text`: JSON, `@file` with JSON, or `@-` for standard input. Throws CliError. */
export function jsonGiven(text: string): unknown {
  const file = text.startsWith('@') ? text.slice(1) : undefined;
  const json = file === undefined ? text : readText(file);
  try {
    return JSON.parse(json) as unknown;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : '';
    throw new CliError(`${file === undefined ? 'The value' : file} is not JSON: ${why}`, {
      exitCode: EXIT.misuse,
      help: `quote it for the shell: '{"total": 90}', or name a file: @facts.json`,
      cause,
    });
  }
}

/** The text of a file, `-` = standard input. Throws CliError. */
export function readText(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    throw new CliError(`${file} cannot be read.`, { exitCode: EXIT.misuse, cause });
  }
}

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** Seconds of a duration such as 90s, 15m, 1h or 7d. For options of commander. */
export function durationGiven(text: string): number {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  const unit = match?.[2] as keyof typeof SECONDS | undefined;
  const count = Number(match?.[1] ?? 0);
  if (unit !== undefined && count > 0) return count * SECONDS[unit];
  throw new InvalidArgumentError('A duration is a number with s, m, h or d, such as 15m.');
}

/** A whole number above 0. For options of commander. */
export function countGiven(text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw new InvalidArgumentError('This is a whole number of at least 1.');
}

/** Collects an option that may stand several times. For options of commander. */
export const repeated = (value: string, before: readonly string[] = []): string[] => [
  ...before,
  value,
];
