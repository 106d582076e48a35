/** What proves each person, in Postgres: the hash of a password, the sealed secret of their codes, the last code used. */
import type pg from 'pg';

export interface Credentials {
  /** '' = none. */
  readonly password: string;
  /** Sealed; '' = none. */
  readonly totp: string;
}

export interface CredentialStore {
  readonly of: (operator: string) => Promise<Credentials>;
  readonly setPassword: (operator: string, hash: string) => Promise<void>;
  readonly setSecret: (operator: string, sealed: string) => Promise<void>;
  readonly remove: (operator: string) => Promise<void>;
  /** True for the first one who uses the code of a period, or of a later one. */
  readonly useStep: (operator: string, step: number) => Promise<boolean>;
}

export function credentialStore(pool: pg.Pool): CredentialStore {
  return {
    of: async (operator) => {
      const { rows } = await pool.query<Credentials>(
        'select password, totp from operator_credentials where operator = $1',
        [operator],
      );
      return rows[0] ?? { password: '', totp: '' };
    },
    setPassword: async (operator, hash) => {
      await pool.query(
        `insert into operator_credentials (operator, password) values ($1, $2)
         on conflict (operator) do update set password = $2`,
        [operator, hash],
      );
    },
    setSecret: async (operator, sealed) => {
      await pool.query(
        `insert into operator_credentials (operator, totp) values ($1, $2)
         on conflict (operator) do update set totp = $2, totp_step = 0`,
        [operator, sealed],
      );
    },
    remove: async (operator) => {
      await pool.query('delete from operator_credentials where operator = $1', [operator]);
    },
    useStep: async (operator, step) => {
      const { rowCount } = await pool.query(
        'update operator_credentials set totp_step = $2 where operator = $1 and totp_step < $2',
        [operator, step],
      );
      return rowCount === 1;
    },
  };
}
