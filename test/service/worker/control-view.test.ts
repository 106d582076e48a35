// The control view over a real broker: what is gone is gone, one bad value spoils one thing, and old news is old.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { bucketStream } from '#contracts/permissions.ts';
import { type ControlView, watchControl } from '#host/control-view.ts';
import { createLog } from '#host/log.ts';
import { type Bus, connectBus, type KV } from '#host/nats.ts';

import { migrateStreams } from '../../../services/migrate/streams.ts';
import { startNats, type TestNats } from '../../support/servers.ts';

let nats: TestNats;
let bus: Bus;
let control: KV;
const views: ControlView[] = [];
beforeAll(async () => {
  nats = await startNats({ conf: '# own server: a bucket is deleted\n' });
  bus = await connectBus({
    url: nats.url,
    user: 'operator',
    passwordFile: '',
    monitorUrl: nats.monitorUrl,
  });
  await migrateStreams(bus, { replicas: 1, shrink: 64 });
  control = await bus.bucket('control');
});
afterAll(async () => {
  for (const view of views) await view.close();
  await bus.close();
  await nats.stop();
});

const put = (key: string, value: unknown, sequence = 1) =>
  control.put(key, JSON.stringify({ sequence, at: Date.now(), value }));
async function watch(over: Bus = bus): Promise<{ view: ControlView; name: string }> {
  const name = `w${randomBytes(4).toString('hex')}`;
  const view = await watchControl(over, { log: createLog('test', 'silent'), beatAs: name });
  views.push(view);
  return { view, name };
}

it('a key that is deleted from the bucket has no value any more', async () => {
  const key = CONTROL_KEYS.agent('acme', 'deleted');
  await put(key, { class: 'shop' });
  const { view } = await watch();
  const told: unknown[] = [];
  view.onChange((changed, { value }) => changed === key && told.push(value));
  await control.delete(key);
  await expect.poll(() => told).toEqual([{ class: 'shop' }, null]);
  expect(view.get(key)?.value).toBe(null);
});

it('a listener that fails on one value hears of the next, and so do the others', async () => {
  const [bad, good] = [CONTROL_KEYS.agent('acme', 'bad'), CONTROL_KEYS.agent('acme', 'good')];
  await put(bad, 'bad');
  await put(good, 'first');
  const { view } = await watch();
  const told: unknown[] = [];
  view.onChange((key, { value }) => {
    if (key === bad) throw new Error('cannot be used');
    if (key === good) told.push(value);
  });
  const others: unknown[] = [];
  view.onChange((key, { value }) => key === bad && others.push(value));
  await put(bad, 'bad again');
  await put(good, 'second');
  await expect.poll(() => told).toEqual(['first', 'second']);
  expect(others).toEqual(['bad', 'bad again']);
});

/** The same bus, whose heartbeats are kept back: the test delivers them. */
function withoutBeats(beats: string[]): Bus {
  const bucket: Bus['bucket'] = async (name) => {
    const put = async (_: string, beat: string) => beats.push(beat);
    return Object.assign(Object.create(await bus.bucket(name)), { put });
  };
  return { ...bus, bucket };
}

it('is as old as the heartbeat that it has seen, however lately that came', async () => {
  const beats: string[] = [];
  const { view, name } = await watch(withoutBeats(beats));
  await expect.poll(() => beats.length).toBe(1);
  await sleep(1_500);
  const [first = ''] = beats;
  const seen = expect.poll(async () => (await control.get(CONTROL_KEYS.beat(name)))?.string());
  await control.put(CONTROL_KEYS.beat(name), first);
  await seen.toBe(first);
  await sleep(100);
  expect(view.ageMs()).toBeGreaterThan(1_500);
  await control.put(CONTROL_KEYS.beat(name), beats.at(-1) ?? '');
  await expect.poll(() => view.ageMs()).toBeLessThan(1_500);
});

it('is not kept fresh by another worker of the same name', async () => {
  const { view, name } = await watch(withoutBeats([]));
  const other = await watchControl(bus, { log: createLog('test', 'silent'), beatAs: name });
  views.push(other);
  await sleep(1_500);
  expect(view.ageMs()).toBeGreaterThan(1_400);
});

// Last, for it breaks the world.
it('forgets what a bucket held that was made anew, and is fresh again over the new one', async () => {
  const [gone, kept] = [CONTROL_KEYS.agent('acme', 'gone'), CONTROL_KEYS.agent('acme', 'kept')];
  await put(gone, { class: 'shop' });
  await put(kept, { class: 'shop' });
  const { view } = await watch();
  const told: unknown[] = [];
  view.onChange((key, { value }) => key === gone && told.push(value));
  await bus.jsm.streams.delete(bucketStream('control'));
  await migrateStreams(bus, { replicas: 1, shrink: 64 });
  await put(kept, { class: 'new' });
  await expect.poll(() => view.get(kept)?.value, { timeout: 15_000 }).toEqual({ class: 'new' });
  expect(view.get(gone)?.value).toBe(null);
  expect(told).toEqual([{ class: 'shop' }, null]);
  await expect.poll(() => view.ageMs(), { timeout: 5_000 }).toBeLessThan(1_000);
});
