-- How persons sign in to the pages of admin: what proves them, their sessions, and the tries that failed.
--
-- Why: operators themselves live in the control feed, which everybody who watches it can read; what proves a person
-- does not belong there. Nothing here is needed to decide a call, to kill or to revoke.
-- Locks: only on tables that are made here. Not breaking.

create table operator_credentials (
  operator text primary key,
  -- scrypt with its parameters and salt; '' = none.
  password text not null default '',
  -- Secret of one-time codes, encrypted with a key that is not in the database; '' = none.
  totp text not null default '',
  -- Last period whose code was used: no code counts twice.
  totp_step bigint not null default 0
);

create table operator_sessions (
  -- SHA-256 of the cookie's value.
  id text primary key,
  operator text not null,
  -- Milliseconds UTC.
  started_at bigint not null,
  seen_at bigint not null,
  -- Last second factor.
  stepped_up_at bigint not null
);
create index operator_sessions_of on operator_sessions (operator);

-- By name whether or not there is such a person, so that nobody learns who is.
create table sign_in_tries (
  -- SHA-256 of the name.
  name text primary key,
  count int not null,
  last_at bigint not null,
  locked_until bigint not null
);
create index sign_in_tries_last on sign_in_tries (last_at);

revoke all on operator_credentials, operator_sessions, sign_in_tries from public;
grant select, insert, update, delete on operator_credentials, operator_sessions, sign_in_tries to countersign_admin;
