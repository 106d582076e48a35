// The command line as a process of its own, against a running system.

import { execFile } from 'node:child_process';

import { CHECKOUT } from '#cli/local/places.ts';

import type { Live } from './live.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param env what it is told of the system */
export function runCommand(
  env: Readonly<Record<string, string | undefined>>,
  args: readonly string[],
): Promise<Ran> {
  const options = {
    env: { ...process.env, NO_COLOR: '1', ...env },
    cwd: CHECKOUT,
    maxBuffer: 64 * 1024 * 1024,
  };
  return new Promise((resolve) => {
    execFile('./countersign', [...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** What runs as an operator of the demo. @param as name in the file of their token; default: the first */
export function runAs({ system }: Live, as = ''): (...args: readonly string[]) => Promise<Ran> {
  const { demo } = system.seeded()!;
  const env = {
    COUNTERSIGN_ADMIN_URL: system.urls.admin,
    COUNTERSIGN_TENANT: demo.tenant,
    COUNTERSIGN_OPERATOR_TOKEN_FILE: demo.operator_token_files.find((file) => file.includes(as)),
  };
  return (...args) => runCommand(env, args);
}
