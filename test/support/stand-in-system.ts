// A supervisor with stand-in services as a process of its own, so that a test can kill it.
// Arguments: folder, diary. Prints `ready` when all runs; ends in order on SIGTERM.

import { startSystem } from '#cli/local/system.ts';
import { standInTable } from '#test/support/stand-in-table.ts';

const [dir = '', diary = ''] = process.argv.slice(2);
const end = new AbortController();
process.on('SIGTERM', () => end.abort());
const system = await startSystem({ dir, ports: 'any', table: standInTable(diary) });
process.stdout.write('ready\n');
await new Promise((resolve) => end.signal.addEventListener('abort', resolve));
await system.stop();
