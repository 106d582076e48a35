// `status`: every address, process and version of the running system.

import type { Command } from 'commander';

import { systemFolder } from '#cli/local/places.ts';
import { readState } from '#cli/local/run-state.ts';
import { statusOf } from '#cli/local/status.ts';
import type { Status, Witnessing } from '#cli/local/status.ts';
import { EXIT, paint, print, printJson, printTable, progress } from '#cli/output.ts';
import { visible } from '#cli/untrusted.ts';
import { addVerb } from '#cli/verb.ts';

export function register(program: Command): void {
  addVerb(program, 'status', {
    short: 'Show what runs: addresses, processes, versions.',
    summary: 'Show every address, process and version of the running system.',
    examples: [
      ['./countersign status', 'for the eyes; exit code 1 when a part is not ready'],
      ['./countersign status --json', 'for tools: a stable shape'],
    ],
  }).action(status);
}

async function status(options: { readonly json?: true }): Promise<void> {
  const dir = systemFolder();
  const now = await statusOf(dir);
  if (options.json === true) printJson(now);
  else printStatus(dir, now);
  const phase = readState(dir)?.phase;
  if (phase !== 'ready') progress(`the system is ${phase ?? 'stopped meanwhile'}`);
  if (phase !== 'ready' || now.services.some(({ ready }) => !ready))
    process.exitCode = EXIT.finding;
}

function printStatus(dir: string, now: Status): void {
  const { ingress, admin, nats, postgres, upstream } = now;
  const addresses = Object.entries({ ingress, admin, upstream, nats, postgres });
  printTable(addresses.map(([name, { url }]) => [name, url]));
  print();
  const state = readState(dir);
  printTable(
    now.services.map(({ name, pid, ready, version }) => {
      const recorded = state?.processes.find((each) => each.name === name);
      const port = portOf(name, recorded?.readyUrl, now);
      return [
        name,
        String(pid),
        port,
        ready ? 'ready' : 'NOT READY',
        version,
        `${recorded?.restarts ?? 0}`,
      ];
    }),
    ['process', 'pid', 'health', 'state', 'version', 'restarts'],
  );
  print();
  print(`durability  ${now.durability}: ${MEANING[now.durability]}`);
  print(`witnessing  ${witnessingShown(now.witnessing)}`);
  print(paint('dim', `logs        ${dir}/log`));
}

/** What an acknowledged record survives, in the operator's words. */
const MEANING: Readonly<Record<Status['durability'], string>> = {
  'power-cut': 'an answered decision survives a power cut',
  'process-crash': 'an answered decision survives a crash of processes, not a power cut',
  none: 'the broker does not say that anything survives',
};

/** Who besides us knows the record: loud where nobody does, or where somebody refuses. */
function witnessingShown({ witnesses, unwitnessed_seconds: seconds = 0 }: Witnessing): string {
  if (witnesses === undefined) return paint('yellow', 'unknown: the audit chainer does not say');
  if (typeof witnesses === 'string') return paint('red', `NONE: ${witnesses}`);
  const lines = witnesses.map(({ witness, size, fault }) =>
    fault === '' ? `${witness} (tree of ${size})` : paint('red', `${witness}: ${visible(fault)}`),
  );
  const behind = seconds > BEHIND_SECONDS ? [paint('red', `${seconds} s BEHIND`)] : [];
  return [...behind, ...lines].join('; ');
}

/** A checkpoint is cosigned within a second or two. */
const BEHIND_SECONDS = 5;

function portOf(name: string, readyUrl: string | undefined, now: Status): string {
  const url = name === 'postgres' ? now.postgres.url : (readyUrl ?? '');
  return URL.canParse(url) ? new URL(url).port : '-';
}
