/**
 * `npm run conformance [-- --json]`: the official MCP suite against a tool server of ours, directly and with the whole
 * system in front. Ends with 1 when a check that holds directly does not hold through the gateway.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { CHECKOUT } from '#cli/local/places.ts';
import { startSystem } from '#cli/local/system.ts';
import {
  CliError,
  EXIT,
  print,
  printJson,
  printTable,
  progress,
  reportError,
} from '#cli/output.ts';

import { type Shim, startShim } from './shim.ts';
import { type Era, ERAS, runSuite } from './suite.ts';
import { fillTenant } from './tenant.ts';
import { startUpstream } from './upstream.ts';

interface Compared {
  readonly era: Era;
  readonly direct: { readonly passed: number; readonly failed: number };
  readonly gateway: { readonly passed: number; readonly failed: number };
  /** Checks that hold directly and not through the gateway, as `scenario:check`. */
  readonly lost: readonly string[];
}

async function compare(signal: AbortSignal): Promise<Compared[]> {
  const dir = join(CHECKOUT, '.countersign', 'conformance');
  const upstream = await startUpstream();
  let shim: Shim | undefined;
  const system = await startSystem({
    dir,
    ports: 'any',
    onProgress: progress,
    signal,
    seed: async (starting) => {
      const { url, headers } = await fillTenant(starting, upstream.url);
      shim = await startShim(url, headers);
      return { demo: {} as never, hints: [] }; // nobody asks this system for its demo
    },
  });
  try {
    if (shim === undefined) throw new CliError('The system was not filled.');
    const compared: Compared[] = [];
    for (const era of ERAS) {
      progress(`running the suite for ${era}, directly and through the gateway`);
      const direct = await runSuite(upstream.url, era, signal);
      const gateway = await runSuite(shim.url, era, signal);
      compared.push({
        era,
        direct: { passed: direct.passed, failed: direct.failed },
        gateway: { passed: gateway.passed, failed: gateway.failed },
        lost: [...direct.held].filter((check) => !gateway.held.has(check)).toSorted(),
      });
    }
    return compared;
  } finally {
    shim?.close();
    await system.stop();
    await upstream.close();
  }
}

function tell(compared: readonly Compared[]): void {
  const count = ({ passed, failed }: Compared['direct']) => `${passed} of ${passed + failed}`;
  printTable(
    compared.map(({ era, direct, gateway, lost }) => [
      era,
      count(direct),
      count(gateway),
      String(lost.length),
    ]),
    ['era', 'direct', 'through us', 'lost'],
  );
  for (const { era, lost } of compared) for (const check of lost) print(`  lost: ${era} ${check}`);
}

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => stop.abort(new CliError('Stopped before the end.')));
try {
  const eras = await compare(stop.signal);
  if (values.json) printJson({ eras });
  else tell(eras);
  const lower = eras.some(
    ({ direct, gateway, lost }) => lost.length > 0 || gateway.passed < direct.passed,
  );
  process.exitCode = lower ? EXIT.finding : EXIT.ok;
} catch (error) {
  process.exitCode = reportError(error, values.json);
}
process.exit();
