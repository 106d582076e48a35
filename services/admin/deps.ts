/** What the handlers of every operation work with. */
import type { ADMIN_OPERATIONS } from '#contracts/admin-api.ts';
import type { Operator } from '#contracts/control.ts';
import type { ControlView } from '#host/control-view.ts';
import type { Logger } from '#host/log.ts';
import type { ObjectStore } from '#host/nats.ts';

import type { Handlers } from './app.ts';
import type { RecordChange } from './change.ts';
import type { Drill } from './drill.ts';
import type { PolicyBuilder } from './policies.ts';
import type { Desk } from './sign-in/desk.ts';

export interface Deps {
  readonly log: Logger;
  readonly view: ControlView;
  readonly record: RecordChange;
  /** Compiled policies by digest. */
  readonly bundles: ObjectStore;
  readonly operators: ReadonlyMap<string, Operator>;
  /** Master keys of capabilities, newest first; the first one signs. */
  readonly capabilityKeys: readonly Uint8Array[];
  readonly build: PolicyBuilder;
  readonly drill: Drill;
  /** Undefined where nobody signs in. */
  readonly desk: Desk | undefined;
}

export type AdminHandlers = Handlers<typeof ADMIN_OPERATIONS>;
