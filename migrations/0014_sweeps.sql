-- How far the audit chainer is with the streams and with the ends of calls: what its sweeps go on from.
--
-- Why: a message that was never chained must be missed by somebody, and a forwarded call of which nobody reports the end
-- gets one. `spooled` is written in the transaction of the rows; what is missing between its ranges was never seen.
-- Locks: `chain_rows` is read once, for where its streams stand. Not breaking.

-- Messages of each stream that were handled, first to last; ranges that touch become one at the next sweep.
create table spooled (
  stream text not null,
  epoch text not null,
  first bigint not null,
  last bigint not null check (last >= first),
  primary key (stream, epoch, first)
);

-- Sequence of each chain up to which every forwarded allow has an outcome.
create table settled (
  tenant text primary key,
  sequence bigint not null
);

revoke all on spooled, settled from public;
grant select, insert, update, delete on spooled to countersign_chainer;
grant select, insert, update on settled to countersign_chainer;

-- Streams that are chained already; the owner, too, sees their rows only like this. Before this nothing was missed.
alter table chain_rows no force row level security;
insert into spooled
select source_stream, source_epoch, 1, max(source_sequence) from chain_rows
where source_stream <> 'chainer' and source_sequence > 0
group by source_stream, source_epoch;
alter table chain_rows force row level security;
