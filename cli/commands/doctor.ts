// `doctor`: what is missing, and the command that fixes it.

import type { Command } from 'commander';

import { examine } from '#cli/local/checks.ts';
import type { Finding } from '#cli/local/checks.ts';
import { systemFolder } from '#cli/local/places.ts';
import { EXIT, paint, print, printJson } from '#cli/output.ts';
import { addVerb } from '#cli/verb.ts';

export function register(program: Command): void {
  addVerb(program, 'doctor', {
    short: 'Say what is missing here, and the command that fixes it.',
    summary: 'Say what is missing on this machine, and the command that fixes it.',
    examples: [
      ['./countersign doctor', 'exit code 1 when something is missing'],
      ['./countersign doctor --json', 'the same for tools'],
    ],
  }).action(doctor);
}

async function doctor(options: { readonly json?: true }): Promise<void> {
  const findings = await examine(systemFolder());
  if (options.json === true) printJson({ checks: findings });
  else printFindings(findings);
  if (findings.some(({ state }) => state === 'missing')) process.exitCode = EXIT.finding;
}

const MARKS: Readonly<Record<Finding['state'], string>> = {
  ok: paint('green', 'ok     '),
  note: paint('yellow', 'note   '),
  missing: paint('red', 'MISSING'),
};

function printFindings(findings: readonly Finding[]): void {
  const width = Math.max(...findings.map(({ name }) => name.length));
  for (const { name, state, found, fix } of findings) {
    print(`${MARKS[state]}  ${name.padEnd(width)}  ${found}`);
    if (fix !== '') print(`${' '.repeat(width + 11)}next: ${fix}`);
  }
}
