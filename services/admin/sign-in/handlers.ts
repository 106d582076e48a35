/** What proves a person is set by an admin. That it was is in the chain; what it is, is not. */
import { randomBytes } from 'node:crypto';

import { PLATFORM } from '#contracts/ids.ts';
import { base32, fromBase32, totpUri } from '#contracts/totp.ts';

import { changeBy } from '../change.ts';
import type { AdminHandlers, Deps } from '../deps.ts';
import { AdminError } from '../errors.ts';
import { opened } from './desk.ts';
import { PASSWORD_CHARS_MIN } from './password.ts';

const SECRET_BYTES = 20;
const SECRET_BYTES_MIN = 16;

export function signInHandlers({
  desk,
  operators,
  record,
}: Deps): Pick<AdminHandlers, 'setPassword' | 'setCodes'> {
  const change = changeBy(record);
  const known = (id = ''): string => {
    if (operators.has(id)) return id;
    throw new AdminError('thing.not_found');
  };
  const note = (action: string, target: string) =>
    ({ kind: 'session', action, target, value: null }) as const;
  return {
    setPassword: async (asked) => {
      const id = known(asked.path['id']);
      const { password } = asked.body;
      if (password.length < PASSWORD_CHARS_MIN) throw new AdminError('sign_in.password');
      const open = opened(desk);
      // First in the chain: who gave whom a way in must not be missing there.
      const changed = await change({ ...asked, tenant: PLATFORM }, note('password', id));
      await open.setPassword(id, password);
      return changed;
    },
    setCodes: async (asked) => {
      const id = known(asked.path['id']);
      const { secret: given } = asked.body;
      const secret = given === undefined ? randomBytes(SECRET_BYTES) : fromBase32(given);
      if (secret === undefined || secret.length < SECRET_BYTES_MIN)
        throw new AdminError('sign_in.secret');
      const open = opened(desk);
      const changed = await change({ ...asked, tenant: PLATFORM }, note('totp', id));
      await open.setSecret(id, secret);
      return { ...changed, secret: base32(secret), uri: totpUri(secret, id) };
    },
  };
}
