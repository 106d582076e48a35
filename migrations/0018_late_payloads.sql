-- Erasures reach what is chained after they were ordered: records that waited in a stream, and late outcomes.
--
-- Why: an order is about decisions made before it, and about all that is ever said of them, whenever it is chained.
-- Locks: short, on `payload_orders`. Not breaking.

-- Sequence up to which an ended erasure has looked for what fits; 0 = at nothing, so those of before look once more.
alter table payload_orders add column through bigint not null default 0;
grant update (through) on payload_orders to countersign_chainer;

create or replace view payload_subjects with (security_invoker = true) as
select s.tenant, s.sequence, d.record_id as decision_id, s.at, s.agent, s.person, s.sequence as decision_sequence
from search_rows s
join chain_rows d on d.tenant = s.tenant and d.sequence = s.sequence and d.kind = 'decision'
where s.kind = 'decision'
union all
select s.tenant, a.sequence, d.record_id, s.at, s.agent, s.person, s.sequence
from search_rows s
join chain_rows d on d.tenant = s.tenant and d.sequence = s.sequence and d.kind = 'decision'
join chain_rows a on a.tenant = d.tenant and a.decision_id = d.record_id
  and a.kind <> 'decision' and a.decision_id <> ''
where s.kind = 'decision';
