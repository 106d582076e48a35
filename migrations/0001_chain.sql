-- The chain of every tenant, its payloads and its heads, and who may do what to them.
--
-- Why: the record of what was decided. A row is written once; what may be erased (the payload) stands in a table of
-- its own, so that an erasure leaves every hash intact. The columns beside `entry` are an index over it: readers
-- show what the hashed entry says, never what a column says.
-- Locks: only on tables that are made here. Not breaking.
-- Roles: the two service roles are made without a login where they are missing (the migrating role then needs
-- CREATEROLE); deployments make them beforehand, with a login and a password of their own.

do $$
declare role_name text;
begin
  foreach role_name in array array['countersign_chainer', 'countersign_admin'] loop
    if not exists (select from pg_roles where rolname = role_name) then
      execute format('create role %I nologin', role_name);
    end if;
  end loop;
end $$;

create table chain_rows (
  tenant text not null,
  -- Gapless from 1 in each tenant.
  sequence bigint not null check (sequence > 0),
  kind text not null,
  record_id text not null,
  -- The decision that the record is, or is about; empty for the rest.
  decision_id text not null,
  agent text not null,
  verdict text not null,
  -- Milliseconds UTC, by the record's writer.
  at bigint not null,
  source_stream text not null,
  source_epoch text not null,
  source_sequence bigint not null,
  source_index int not null,
  -- The exact text that the hash covers: contracts/chain.ts.
  entry text not null,
  hash bytea not null check (length(hash) = 32),
  primary key (tenant, sequence)
);

-- Truth about duplicates: the deduplication of the broker is an optimisation only.
create unique index chain_rows_record on chain_rows (tenant, kind, record_id);
-- What the chainer itself appends has no position in a stream.
create unique index chain_rows_source
  on chain_rows (source_stream, source_epoch, source_sequence, source_index)
  where source_stream <> 'chainer';
create index chain_rows_about on chain_rows (tenant, decision_id, sequence)
  where decision_id <> '' and kind <> 'decision';

create table payloads (
  tenant text not null,
  sequence bigint not null,
  -- One line of canonical JSON: contracts/record.ts.
  body text not null,
  primary key (tenant, sequence)
);

create table heads (
  tenant text primary key,
  -- 0 and zeros before the first row.
  sequence bigint not null,
  hash bytea not null check (length(hash) = 32)
);

-- Even the owner's mistakes are refused; a person with the owner's rights and intent is met by the witness.
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% on % is refused: the chain only grows', tg_op, tg_table_name
    using errcode = 'insufficient_privilege';
end $$;

create trigger chain_rows_only_grow before update or delete or truncate on chain_rows
  for each statement execute function refuse_change();
create trigger payloads_only_grow before update or delete or truncate on payloads
  for each statement execute function refuse_change();
create trigger heads_stay before delete or truncate on heads
  for each statement execute function refuse_change();

create function refuse_rewind() returns trigger language plpgsql as $$
begin
  if new.tenant <> old.tenant or new.sequence <= old.sequence then
    raise exception 'a head only moves forward' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;

create trigger heads_move_forward before update on heads
  for each row execute function refuse_rewind();

revoke all on chain_rows, payloads, heads from public;
grant select, insert on chain_rows, payloads, heads to countersign_chainer;
grant update (sequence, hash) on heads to countersign_chainer;
grant select on chain_rows, payloads, heads to countersign_admin;

-- Readers see the tenant that they named in their transaction (`set local app.tenant`), else an error or nothing.
do $$
declare table_name text;
begin
  foreach table_name in array array['chain_rows', 'payloads', 'heads'] loop
    execute format('alter table %I enable row level security', table_name);
    execute format('alter table %I force row level security', table_name);
    execute format('create policy appends on %I to countersign_chainer using (true) with check (true)', table_name);
    execute format(
      'create policy reads on %I for select to countersign_admin using (tenant = current_setting(''app.tenant''))',
      table_name);
  end loop;
end $$;
