-- What rows of the chain are found by.
--
-- Why: a search through millions of rows must cost what a page costs. A projection: `countersign rebuild` remakes it from
-- the chain, and what is shown of a row is always read from its hashed entry. Newest first is (at, sequence) descending;
-- each index leads to that order below one value, and holds only values that tell rows apart.
-- Locks: access exclusive on `chain_rows` while the rows that are there are read; minutes where they are millions, and
-- decisions go on meanwhile. Not breaking.

create table search_rows (
  tenant text not null,
  sequence bigint not null,
  -- Milliseconds UTC, by the record's writer.
  at bigint not null,
  kind text not null,
  -- All of these are '' where the record has none: contracts/search.ts.
  agent text not null,
  person text not null,
  tool text not null,
  upstream text not null,
  verdict text not null,
  reason text not null,
  mode text not null,
  approval text not null,
  primary key (tenant, sequence)
);

-- A tenant's agents have few tools, and most calls are allowed: an index over what all rows share finds nothing.
create index search_rows_at on search_rows (tenant, at, sequence);
create index search_rows_agent on search_rows (tenant, agent, at, sequence) where agent <> '';
create index search_rows_person on search_rows (tenant, person, at, sequence) where person <> '';
create index search_rows_tool on search_rows (tenant, tool, at, sequence) where tool <> '';
create index search_rows_approval on search_rows (tenant, approval, at, sequence) where approval <> '';
create index search_rows_reason on search_rows (tenant, reason, at, sequence)
  where reason not in ('', 'policy.allowed', 'executed');
create index search_rows_verdict on search_rows (tenant, verdict, at, sequence) where verdict not in ('', 'allow');
create index search_rows_mode on search_rows (tenant, mode, at, sequence) where mode not in ('', 'enforce');
-- Changes, steps of approvals, alerts.
create index search_rows_rest on search_rows (tenant, at, sequence) where kind not in ('decision', 'outcome');

revoke all on search_rows from public;
grant select, insert, delete on search_rows to countersign_chainer;
grant select on search_rows to countersign_admin;
alter table search_rows enable row level security;
create policy keeps on search_rows to countersign_chainer using (true) with check (true);
create policy reads on search_rows for select to countersign_admin
  using (tenant = current_setting('app.tenant'));

-- Rows that are there already; the owner, too, sees them only like this. Text with an escaped NUL is no `json` to
-- Postgres: `countersign rebuild` finds the terms of those.
alter table chain_rows no force row level security;
insert into search_rows
select tenant, sequence, at, kind, agent,
  left(coalesce(case when kind = 'decision' then body ->> 'person' else body ->> 'by' end, ''), 256),
  left(coalesce(body ->> 'tool', ''), 256),
  left(coalesce(body ->> 'upstream', ''), 256),
  verdict,
  left(coalesce(
    case when kind = 'decision' then body ->> 'reason'
      when kind = 'outcome' then body ->> 'status'
      when kind like 'approval.%' then body ->> 'state'
      else body ->> 'action' end, ''), 256),
  left(coalesce(case when kind = 'decision' then body ->> 'mode' end, ''), 256),
  left(coalesce(nullif(body ->> 'approval_id', ''), body ->> 'resumes', ''), 256)
from (
  select *, case when position('\u0000' in entry) = 0 then (entry::json) -> 'body' end as body from chain_rows
) as chained;
alter table chain_rows force row level security;
alter table search_rows force row level security;
