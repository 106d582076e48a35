-- What is kept of held calls and of messages about them stands sealed (services/host/at-rest.ts), and goes with the
-- payload that it is a copy of.
--
-- Why: arguments stood beside held calls in plain text, and an erasure did not reach them. `erased_holds` is how the audit
-- chainer, in the transaction that erases, tells those who keep copies. What was stored before stays readable;
-- `countersign rebuild` seals it.
-- Locks: access exclusive on `approvals`, `approval_events` and `notices` while they are rewritten; seconds. Breaking:
-- approval-escalation and notifier of before wait until they are replaced, and held calls with them.

alter table approvals
  -- Digest of tenant, agent and person, '' once erased: what an agent finds its own calls by.
  add column principal text not null default '',
  -- Its content is gone: arguments, names of persons, words of people and of the policy.
  add column erased boolean not null default false;
-- By its text: Postgres opens no JSON in which an agent wrote a NUL.
update approvals set principal = coalesce(substring(facts::text from '"principal": ?"([^"]*)"'), '');
alter table approvals
  alter column progress type bytea using convert_to(progress::text, 'UTF8'),
  alter column facts type bytea using convert_to(facts::text, 'UTF8'),
  alter column payload type bytea using convert_to(payload, 'UTF8'),
  alter column payload set storage external;
create index approvals_grants_of on approvals (tenant, grant_of) where grant_of is not null;

alter table approval_events
  alter column payload type bytea using convert_to(payload, 'UTF8'),
  alter column payload set storage external;
grant update (payload) on approval_events to countersign_approvals;

alter table notices
  -- What lists show and select by; the rest of the event is sealed, and empty once erased.
  add column said text not null default '',
  add column tool text not null default '',
  -- Milliseconds UTC.
  add column at bigint not null default 0,
  add column expires_at bigint not null default 0;
update notices set said = coalesce(event ->> 'event', ''), at = coalesce((event ->> 'at')::bigint, 0),
  tool = coalesce(event -> 'value' -> 'summary' ->> 'tool', ''),
  expires_at = coalesce((event -> 'value' -> 'summary' ->> 'expires_at')::bigint, 0);
alter table notices alter column event type bytea using convert_to(event::text, 'UTF8');

-- Held calls whose payload was erased.
create table erased_holds (
  tenant text not null,
  approval text not null,
  -- approval-escalation has nothing of it any more.
  done boolean not null default false,
  primary key (tenant, approval)
);
create index erased_holds_open on erased_holds (tenant, approval) where not done;

revoke all on erased_holds from public;
grant select, insert on erased_holds to countersign_chainer;
grant select, update (done) on erased_holds to countersign_approvals;
grant select on erased_holds to countersign_notifier;

-- Erased before this; the owner, too, sees rows of the chain only like this.
alter table chain_rows no force row level security;
alter table search_rows no force row level security;
alter table payload_erasures no force row level security;
insert into erased_holds (tenant, approval)
select e.tenant, s.approval from payload_erasures e
join chain_rows c on c.tenant = e.tenant and c.sequence = e.sequence and c.kind = 'decision' and c.verdict = 'escalate'
join search_rows s on s.tenant = e.tenant and s.sequence = e.sequence and s.approval <> ''
on conflict do nothing;
alter table chain_rows force row level security;
alter table search_rows force row level security;
alter table payload_erasures force row level security;
