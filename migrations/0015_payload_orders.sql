-- What people ordered about payloads (erase, hold, retain), and which payloads are erased by what.
--
-- Why: a payload may be erased and must not vanish: it goes only together with a row that says when and by which order.
-- `payload_orders` is a projection of events in the chain, written in the transaction that chains them.
-- Locks: short, on `payloads`. Not breaking.

create table payload_orders (
  tenant text not null,
  -- Of the event: an erasure concerns only rows before it.
  sequence bigint not null,
  id text not null,
  action text not null check (action in ('erase', 'hold', 'retain')),
  -- Milliseconds UTC.
  at bigint not null,
  by text not null,
  -- Conditions; null = any. All must fit the decision that a payload is of, or about.
  decision_id text,
  agent text,
  person text,
  from_at bigint,
  until_at bigint,
  -- Of a retention; null = for good.
  days int check (days > 0),
  -- An erasure that found nothing more, a hold that was lifted, a retention that another one replaced.
  ended boolean not null default false,
  primary key (tenant, id)
);
create index payload_orders_open on payload_orders (action, tenant) where not ended;

create table payload_erasures (
  tenant text not null,
  sequence bigint not null,
  order_id text not null,
  at bigint not null,
  primary key (tenant, sequence)
);

-- Every payload of, or about, a decision, with what orders select it by. Searches begin at the decisions.
create view payload_subjects with (security_invoker = true) as
select s.tenant, s.sequence, d.record_id as decision_id, s.at, s.agent, s.person
from search_rows s
join chain_rows d on d.tenant = s.tenant and d.sequence = s.sequence and d.kind = 'decision'
where s.kind = 'decision'
union all
select s.tenant, a.sequence, d.record_id, s.at, s.agent, s.person
from search_rows s
join chain_rows d on d.tenant = s.tenant and d.sequence = s.sequence and d.kind = 'decision'
join chain_rows a on a.tenant = d.tenant and a.decision_id = d.record_id
  and a.kind <> 'decision' and a.decision_id <> ''
where s.kind = 'decision';

create function refuse_delete_unless_erasing() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('app.erasing', true), '') <> 'on' then
    raise exception 'delete on payloads is refused: only an order erases' using errcode = 'insufficient_privilege';
  end if;
  return null;
end $$;

create function refuse_untold_erasure() returns trigger language plpgsql as $$
begin
  if not exists (select from payload_erasures e where e.tenant = old.tenant and e.sequence = old.sequence) then
    raise exception 'payload % of % has no erasure', old.sequence, old.tenant using errcode = 'insufficient_privilege';
  end if;
  return old;
end $$;

drop trigger payloads_only_grow on payloads;
create trigger payloads_stay before update or truncate on payloads
  for each statement execute function refuse_change();
create trigger payloads_go_by_order before delete on payloads
  for each statement execute function refuse_delete_unless_erasing();
create trigger payloads_go_told before delete on payloads
  for each row execute function refuse_untold_erasure();
create trigger payload_erasures_stay before update or delete or truncate on payload_erasures
  for each statement execute function refuse_change();

revoke all on payload_orders, payload_erasures, payload_subjects from public;
grant delete on payloads to countersign_chainer;
grant select, insert, update (ended) on payload_orders to countersign_chainer;
grant select, insert on payload_erasures to countersign_chainer;
grant select on payload_subjects to countersign_chainer, countersign_admin;
grant select on payload_orders, payload_erasures to countersign_admin;

do $$
declare table_name text;
begin
  foreach table_name in array array['payload_orders', 'payload_erasures'] loop
    execute format('alter table %I enable row level security', table_name);
    execute format('alter table %I force row level security', table_name);
    execute format('create policy keeps on %I to countersign_chainer using (true) with check (true)', table_name);
    execute format(
      'create policy reads on %I for select to countersign_admin using (tenant = current_setting(''app.tenant''))',
      table_name);
  end loop;
end $$;
