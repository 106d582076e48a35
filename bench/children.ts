// The bench's own child processes, from the side that starts them: each is told what to do by IPC and ends with us.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { CHECKOUT } from '#cli/local/places.ts';

import type { BusJob } from './bus-load.ts';
import type { EchoJob } from './echo.ts';
import type { Latency } from './histogram.ts';
import type { LoadJob, LoadResult, LoadTold } from './load.ts';

/** Called when the measured time begins and when it ends. */
export type AtEdge = (edge: 'begin' | 'end') => void;

const children = new Set<ChildProcess>();

function start(file: string): ChildProcess {
  const child = fork(join(CHECKOUT, 'bench', file), { stdio: 'inherit' });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Rejects when the child ends before it told what was awaited. */
async function told<T>(
  child: ChildProcess,
  wanted: (message: unknown) => message is T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      child.off('exit', ended);
      child.off('message', take);
    };
    const ended = (code: number | null) => {
      settle();
      reject(new Error(`a bench process ended (${code})`));
    };
    const take = (message: unknown) => {
      if (!wanted(message)) return;
      settle();
      resolve(message);
    };
    child.on('exit', ended);
    child.on('message', take);
  });
}

const isReady = (message: unknown): message is 'ready' => message === 'ready';
const isLatency = (message: unknown): message is Latency =>
  typeof message === 'object' && message !== null && 'p50' in message;
const hasEvent =
  <Name extends LoadTold['event']>(name: Name) =>
  (message: unknown): message is Extract<LoadTold, { event: Name }> =>
    (message as Partial<LoadTold>).event === name;

/** An echo server; returns when it listens. */
export async function startEcho(job: EchoJob): Promise<{ readonly pid: number }> {
  const child = start('echo.ts');
  child.send(job);
  await told(child, isReady);
  return { pid: child.pid ?? 0 };
}

export interface Generator {
  readonly pid: number;
  readonly run: (job: LoadJob, atEdge?: AtEdge) => Promise<LoadResult>;
}

/** A load generator, ready; it takes one job at a time. */
export async function startGenerator(): Promise<Generator> {
  const child = start('load.ts');
  await told(child, hasEvent('ready'));
  return {
    pid: child.pid ?? 0,
    run: async (job, atEdge) => {
      const listen = (message: unknown) => {
        const { event } = message as LoadTold;
        if (event === 'begin' || event === 'end') atEdge?.(event);
      };
      child.on('message', listen);
      child.send(job);
      const { result } = await told(child, hasEvent('result'));
      child.off('message', listen);
      return result;
    },
  };
}

/** Measures one bus part of the floor. */
export async function runBusLoad(): Promise<(job: BusJob) => Promise<Latency>> {
  const child = start('bus-load.ts');
  await told(child, isReady);
  return (job) => {
    child.send(job);
    return told(child, isLatency);
  };
}

/** Ends every process that was started here. */
export async function endChildren(): Promise<void> {
  await Promise.all(
    [...children].map(async (child) => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }),
  );
}
