// The command line in this process: what it says, and the exit code that it would end with.

import { vi } from 'vitest';

import { main } from '#cli/main.ts';

export async function runVerb(...args: readonly string[]) {
  const said = { out: '', err: '' };
  const keep = (stream: 'out' | 'err') => (text: unknown) => {
    said[stream] += String(text);
    return true;
  };
  const out = vi.spyOn(process.stdout, 'write').mockImplementation(keep('out'));
  const err = vi.spyOn(process.stderr, 'write').mockImplementation(keep('err'));
  vi.stubEnv('NO_COLOR', '1');
  const code = await main(args).finally(() => {
    out.mockRestore();
    err.mockRestore();
    vi.unstubAllEnvs();
  });
  return { code, ...said };
}
