-- One index less over what rows are found by: its key is their order.
--
-- Why: a row had an entry by (tenant, sequence) and one by (tenant, at, sequence). Whoever knows a sequence comes from the
-- chain, which knows the time as well.
-- Locks: access exclusive on `search_rows` while the key is built, about two seconds for a million rows; nothing can be
-- chained or searched meanwhile, and decisions go on. Not breaking.

alter table search_rows drop constraint search_rows_pkey;
drop index search_rows_at;
alter table search_rows add primary key (tenant, at, sequence);

create or replace view payload_subjects with (security_invoker = true) as
select s.tenant, s.sequence, d.record_id as decision_id, s.at, s.agent, s.person, s.sequence as decision_sequence
from search_rows s
join chain_rows d on d.tenant = s.tenant and d.at = s.at and d.sequence = s.sequence and d.kind = 'decision'
where s.kind = 'decision'
union all
select s.tenant, a.sequence, d.record_id, s.at, s.agent, s.person, s.sequence
from search_rows s
join chain_rows d on d.tenant = s.tenant and d.at = s.at and d.sequence = s.sequence and d.kind = 'decision'
join chain_rows a on a.tenant = d.tenant and a.decision_id = d.record_id
  and a.kind <> 'decision' and a.decision_id <> ''
where s.kind = 'decision';
