// The roles and the database in our Postgres. Tables, grants and row-level security are the migrations' business.

import { Client, escapeIdentifier, escapeLiteral } from 'pg';

import { DATABASE_ROLES } from './secrets.ts';
import type { DatabaseRole } from './secrets.ts';

export const DATABASE = 'countersign';

/** Makes the login roles and the database, owned by the migrator, where they are missing; passwords are set anew. */
export async function prepareDatabase(
  adminUrl: string,
  password: (role: DatabaseRole) => string,
): Promise<void> {
  await withClient(adminUrl, async (client) => {
    await makeRoles(client, password);
    const known = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (known.rowCount === 0) {
      await client.query(`create database ${DATABASE} owner countersign_migrator`);
      await client.query(`revoke all on database ${DATABASE} from public`);
    }
    // Also for the roles of processes that came later than the database.
    await client.query(
      `grant connect on database ${DATABASE} to ${DATABASE_ROLES.map((role) => escapeIdentifier(role)).join(', ')}`,
    );
  });
}

async function makeRoles(client: Client, password: (role: DatabaseRole) => string): Promise<void> {
  for (const role of DATABASE_ROLES) {
    const known = await client.query('select 1 from pg_roles where rolname = $1', [role]);
    const verb = known.rowCount === 0 ? 'create' : 'alter';
    await client.query(
      `${verb} role ${escapeIdentifier(role)} login password ${escapeLiteral(password(role))}`,
    );
  }
}

async function withClient(url: string, work: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
