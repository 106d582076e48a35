/** Everything that the package offers. */
export { Admin, type Minted, type Terms } from './admin.ts';
export { attenuate, inspect, type Inspection, type Narrowing } from './capability.ts';
export type { ArgumentCondition, Caveat, Scalar, SenderKey } from './caveats.ts';
export {
  Client,
  type AskOptions,
  type ClientOptions,
  type Decision,
  type HeldCall,
  type Outcome,
  type Reason,
  type Token,
  type WaitOptions,
} from './client.ts';
export {
  Blocked,
  CountersignError,
  Expired,
  Held,
  MalformedCapability,
  Rejected,
  Unavailable,
  type ErrorDetail,
} from './errors.ts';
