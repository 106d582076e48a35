-- One Merkle tree over the chains of all tenants, its checkpoints, and who cosigned them.
--
-- Why: whoever owns the database could rewrite a chain whole; a checkpoint that a witness has seen cannot be rewritten
-- unnoticed. The tree holds the hash of every chain row once, and every tenant's head whenever it moved
-- (contracts/tree-leaf.ts). Its hashes stand in tiles of 256 (https://c2sp.org/tlog-tiles), its leaves as ranges:
-- each row of a range is a row of the chain.
-- Locks: only on tables that are made here. Not breaking: rows that are there already enter the tree by and by.

-- Hashes of whole subtrees of 2^(8 * level) leaves, up to 256 side by side. The last tile of a level grows.
create table tree_tiles (
  level int not null,
  index bigint not null,
  hashes bytea not null check (length(hashes) between 32 and 8192 and length(hashes) % 32 = 0),
  primary key (level, index)
);
alter table tree_tiles alter column hashes set storage external;

-- Which leaves are whose: entries [first_sequence, first_sequence + count) of a tenant stand from first_leaf on.
create table tree_ranges (
  first_leaf bigint primary key,
  tenant text not null,
  -- A head is of the row that was the tenant's last.
  kind text not null check (kind in ('entry', 'head')),
  first_sequence bigint not null,
  count bigint not null check (count > 0)
);
create unique index tree_ranges_of on tree_ranges (tenant, kind, first_sequence);

-- One row: what the tree holds. Whoever grows it locks it.
create table tree (
  one boolean primary key default true check (one),
  size bigint not null
);
insert into tree (size) values (0);

-- Keys that signed checkpoints, newest last; a verifier takes the old ones for what they signed.
create table log_keys (
  vkey text primary key,
  -- The tree that it signed first.
  since_size bigint not null,
  at bigint not null
);

create table checkpoints (
  size bigint primary key,
  root bytea not null check (length(root) = 32),
  -- Milliseconds UTC.
  at bigint not null,
  -- The note as the log signed it.
  note text not null,
  -- By stream, {epoch, sequence}: every message up to there is under this checkpoint. Empty while the tree catches up.
  floors jsonb not null,
  -- When enough witnesses had cosigned, null until then.
  witnessed_at bigint
);
create index checkpoints_unwitnessed on checkpoints (size) where witnessed_at is null;

create table cosignatures (
  size bigint not null references checkpoints (size),
  -- Name and id of the witness's key.
  key text not null,
  -- The latest line, and its time in seconds UTC: a quiet log is cosigned again.
  line text not null,
  seconds bigint not null,
  primary key (size, key)
);

create trigger checkpoints_stay before delete or truncate on checkpoints
  for each statement execute function refuse_change();
create trigger tree_ranges_only_grow before update or delete or truncate on tree_ranges
  for each statement execute function refuse_change();
create trigger tree_tiles_stay before delete or truncate on tree_tiles
  for each statement execute function refuse_change();

revoke all on tree_tiles, tree_ranges, tree, log_keys, checkpoints, cosignatures from public;
grant select, insert on tree_tiles, tree_ranges, log_keys, checkpoints, cosignatures to countersign_chainer;
grant select, update on tree to countersign_chainer;
grant update (hashes) on tree_tiles to countersign_chainer;
grant update (witnessed_at, floors) on checkpoints to countersign_chainer;
grant update (line, seconds) on cosignatures to countersign_chainer;
grant select on tree_tiles, tree_ranges, tree, log_keys, checkpoints, cosignatures to countersign_admin;

-- Hashes and checkpoints say nothing of anybody; ranges do.
alter table tree_ranges enable row level security;
alter table tree_ranges force row level security;
create policy grows on tree_ranges to countersign_chainer using (true) with check (true);
create policy reads on tree_ranges for select to countersign_admin
  using (tenant = current_setting('app.tenant'));
