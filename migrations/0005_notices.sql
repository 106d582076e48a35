-- What people are told about held calls: one row for each event and channel, and the messages that stand there.
--
-- Why: an event of APPROVALS is acknowledged once its rows are stored, so nothing is lost while a vendor is down; a row
-- that was started and not finished tells after a crash that its message may stand there already.
-- Locks: only on tables that are made here. Not breaking.
-- Role: one process reads and writes all of it.

do $$
begin
  if not exists (select from pg_roles where rolname = 'countersign_notifier') then
    create role countersign_notifier nologin;
  end if;
end $$;

create table notices (
  position bigint generated always as identity unique,
  tenant text not null,
  approval text not null,
  -- Of the event.
  step int not null check (step > 0),
  channel text not null,
  -- ask: a person is asked. update: what was asked has changed.
  kind text not null check (kind in ('ask', 'update')),
  -- Leaf id, event, and the event's value.
  event jsonb not null,
  state text not null default 'due' check (state in ('due', 'sent', 'dead')),
  attempts int not null default 0,
  -- Milliseconds UTC.
  due_at bigint not null,
  -- Set while it is being sent: found set, nobody knows whether it arrived.
  started_at bigint,
  -- How often nobody knew.
  unsure int not null default 0,
  fault text not null default '',
  primary key (tenant, approval, step, channel)
);
create index notices_due on notices (due_at) where state = 'due';
create index notices_dead on notices (tenant, position) where state = 'dead';

-- A message that can be changed, and the word by which its buttons are taken once.
create table notice_messages (
  tenant text not null,
  approval text not null,
  channel text not null,
  -- As the vendor names it, '' while nothing stands there.
  place text not null default '',
  message text not null default '',
  -- SHA-256 of the nonce in its buttons, '' for none.
  nonce_hash text not null default '',
  nonce_used boolean not null default false,
  primary key (tenant, approval, channel)
);

-- Callbacks that were taken, so that none counts twice.
create table notice_callbacks (
  key text primary key,
  at bigint not null
);
create index notice_callbacks_at on notice_callbacks (at);

revoke all on notices, notice_messages, notice_callbacks from public;
grant select, insert, update, delete on notices, notice_messages, notice_callbacks to countersign_notifier;
