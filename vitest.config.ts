import { defineConfig } from 'vitest/config';

/** Three kinds of test by what they cost: pure, one service on real servers, the whole system. */
const project = (name: string, timeoutMs: number, parallel: boolean) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutMs,
    hookTimeout: 120_000,
    // What is waited for comes when it comes; a second is less than such a machine may stall.
    expect: { poll: { timeout: 20_000 } },
    // Real servers on a machine that may stall for seconds: a second try is told, a second failure counts.
    retry: name === 'unit' ? 0 : 1,
    fileParallelism: parallel,
    // Pure tests share the modules that a worker has loaded: half of their time went there.
    ...(name === 'unit' ? { isolate: false, pool: 'threads' as const } : {}),
  },
});

export default defineConfig({
  test: {
    // A test of servers waits more than it computes; the default leaves one of two cores idle.
    maxWorkers: '100%',
    projects: [
      project('unit', 30_000, true),
      project('service', 60_000, true),
      project('system', 180_000, false),
    ],
  },
});
