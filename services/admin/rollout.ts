/** The routes of rollout modes and exceptions. They work without a database; only the criteria need one. */
import { ROLLOUT_OPERATIONS } from '#contracts/rollout-api.ts';

import { mount } from './app.ts';
import { exceptionHandlers } from './exceptions.ts';
import { modeHandlers } from './modes.ts';
import type { ReadSeen } from './rollout-reads.ts';
import type { Routes } from './routes.ts';

/** @param seen undefined where no database is configured */
export const rolloutRoutes =
  (seen: ReadSeen | undefined): Routes =>
  (app, { deps, authenticate }) => {
    const handlers = { ...modeHandlers(deps, seen), ...exceptionHandlers(deps) };
    mount(app, { operations: ROLLOUT_OPERATIONS, handlers, authenticate });
  };
