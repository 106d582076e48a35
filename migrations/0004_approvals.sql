-- Held calls: their state, who said what, how often they were used, and the events that still have to be published.
--
-- Why: Postgres is the truth about pending, approved, denied and expired; bucket `approvals` and stream APPROVALS
-- follow it. Each step is one conditional update of `approvals` (on `step`) together with its row in `approval_events`.
-- Locks: only on tables that are made here. Not breaking.
-- Role: one process reads and writes all of it; it also reads the chain, to show what a session did before.

do $$
begin
  if not exists (select from pg_roles where rolname = 'countersign_approvals') then
    create role countersign_approvals nologin;
  end if;
end $$;

create table approvals (
  tenant text not null,
  id text not null,
  -- Later approvals of the same call have higher ones.
  position bigint generated always as identity unique,
  binding text not null,
  state text not null check (state in
    ('pending', 'approved', 'denied', 'expired', 'cancelled', 'superseded', 'no_channel')),
  -- Number of the last event; gapless from 1.
  step int not null check (step > 0),
  -- Milliseconds UTC.
  held_at bigint not null,
  expires_at bigint not null,
  -- When to look at it again by itself; null = never.
  wake_at bigint,
  uses int not null check (uses > 0),
  used int not null default 0 check (used >= 0),
  -- What the reducer keeps: plan, votes, tiers (services/approval-escalation/reduce.ts).
  progress jsonb not null,
  -- What was held: the records of the decision, and what is shown of it.
  leaf text not null,
  payload text not null,
  facts jsonb not null,
  -- Last step whose event is in the stream and whose entry is in the bucket.
  told int not null default 0,
  primary key (tenant, id)
);
create index approvals_awake on approvals (wake_at) where wake_at is not null;
create index approvals_untold on approvals (position) where told < step;
create index approvals_listed on approvals (tenant, state, position desc);
create index approvals_open on approvals (tenant) where state in ('pending', 'approved');

-- The newest approval of a call; its row is locked while a hold of the same call is taken.
create table approval_bindings (
  tenant text not null,
  binding text not null,
  id text not null,
  primary key (tenant, binding)
);

-- Every id that a hold was given: holds of the same call at once have several, and one approval.
create table approval_handles (
  tenant text not null,
  handle text not null,
  id text not null,
  primary key (tenant, handle)
);
create index approval_handles_of on approval_handles (tenant, id);

create table approval_uses (
  tenant text not null,
  id text not null,
  k int not null check (k > 0),
  decision_id text not null,
  at bigint not null,
  -- What is known of it: an outcome's status; '' while nothing is.
  effect text not null default '',
  primary key (tenant, id, k)
);
create index approval_uses_open on approval_uses (at) where effect = '';

-- Outbox: written with the step, published before anybody acts on it.
create table approval_events (
  tenant text not null,
  id text not null,
  step int not null check (step > 0),
  event text not null,
  leaf text not null,
  payload text not null,
  primary key (tenant, id, step)
);

revoke all on approvals, approval_bindings, approval_handles, approval_uses, approval_events from public;
grant select, insert, update on approvals, approval_bindings, approval_uses to countersign_approvals;
grant select, insert on approval_handles, approval_events to countersign_approvals;

grant select on chain_rows to countersign_approvals;
create policy reads_history on chain_rows for select to countersign_approvals
  using (tenant = current_setting('app.tenant'));
