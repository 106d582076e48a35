/**
 * The one step before services start: schema, streams, consumers and buckets. Runs to its end, changes nothing when
 * everything is there, and may run several times at once.
 */
import { ConfigError, readConfig, readSecret } from '#host/config.ts';
import { connectBus } from '#host/nats.ts';

import { MigrateConfig } from './config.ts';
import { migrateDatabase } from './database.ts';
import { migrateStreams } from './streams.ts';

/** Migrates database and broker; `tell` hears what was done. */
export async function migrate(config: MigrateConfig, tell: (line: string) => void): Promise<void> {
  const url = readSecret(config.COUNTERSIGN_DATABASE_URL_FILE, 'database URL');
  const applied = await migrateDatabase(url);
  for (const name of applied) tell(`database: ${name}`);
  if (applied.length === 0) tell('database: nothing to do');

  const bus = await connectBus({
    url: config.COUNTERSIGN_NATS_URL,
    user: 'migrate',
    passwordFile: config.COUNTERSIGN_NATS_PASSWORD_FILE,
    monitorUrl: config.COUNTERSIGN_NATS_MONITOR_URL,
  });
  try {
    await migrateStreams(bus, {
      replicas: config.COUNTERSIGN_STREAM_REPLICAS,
      shrink: config.COUNTERSIGN_STREAM_SHRINK,
    });
    tell('broker: streams, consumers and buckets are as the table says');
  } finally {
    await bus.close();
  }
}

if (import.meta.main) {
  try {
    const config = readConfig(MigrateConfig, process.env);
    await migrate(config, (line) => process.stdout.write(`${line}\n`));
  } catch (error) {
    const known = error instanceof ConfigError;
    process.stderr.write(`${known ? error.message : String((error as Error).stack ?? error)}\n`);
    process.exitCode = known ? 78 : 1;
  }
}
