// The control of the power cuts: with the broker's sync switched off a cut MUST lose answered allows. One that loses
// nothing shows that the cuts cut nothing, and makes the whole run void.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { CHECKOUT } from '#cli/local/places.ts';

import { compareWithChain } from '../support/chain-compare.ts';
import { startLive } from '../support/live.ts';
import { startLoad } from '../support/load.ts';
import { makeDisk } from '../support/power-cut.ts';
import { cutNow } from './episode.ts';

export interface Control {
  readonly answered_allows: number;
  readonly lost: number;
  /** False when what the disk held did not even start; then everything counts as lost. */
  readonly came_back: boolean;
  /** True when nothing was lost. */
  readonly void: boolean;
}

const DISK_MIB = 4_096;
const LOAD_MS = 3_000;
const WAIT_MS = 15_000;

export async function controlRun(place: string, log: (line: string) => void): Promise<Control> {
  const disk = await makeDisk(place, DISK_MIB);
  const natsConf = join(place, 'nats.conf');
  const shipped = await readFile(join(CHECKOUT, 'compose', 'nats.conf'), 'utf8');
  await writeFile(natsConf, shipped.replace('sync_interval: always', 'sync_interval: "10m"'));
  const live = await startLive({ dir: disk.dir, natsConf });
  try {
    await live.system.halt('audit-chainer'); // what it has chained is on another disk write's word
    await disk.flush(); // so that answers are lost, and not the streams themselves
    const load = startLoad(live, 32);
    await sleep(LOAD_MS);
    const answered = [...load.seen.allowed];
    const after = await cutNow(live, disk, 'cut');
    await load.stop();
    const left = await leftAfter(after.dir, answered, log).finally(() => after.remove());
    const { lost } = left;
    log(
      `control without sync: ${lost} of ${answered.length} answered allows are lost by a cut, as they must`,
    );
    return { answered_allows: answered.length, ...left, void: lost === 0 };
  } finally {
    await live.close();
    await disk.remove();
  }
}

async function leftAfter(
  dir: string,
  answered: readonly string[],
  log: (line: string) => void,
): Promise<Pick<Control, 'lost' | 'came_back'>> {
  const second = await startLive({ dir }).catch((error: unknown) => {
    log(`what the disk held does not start: ${String(error)}`);
    return undefined;
  });
  if (second === undefined) return { lost: answered.length, came_back: false };
  try {
    const { missing } = await compareWithChain(second, answered, WAIT_MS);
    return { lost: missing, came_back: true };
  } finally {
    await second.close();
  }
}
