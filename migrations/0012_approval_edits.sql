-- Held calls that a person changed instead of approving them: their state, and which call they were changed into, so that
-- whoever changed one is among those who asked for the other.
--
-- Locks: access exclusive on `approvals` for a moment (a check is replaced; the rows are looked through once). Not
-- breaking: the process before this one never writes the new state.

alter table approvals
  drop constraint approvals_state_check,
  add constraint approvals_state_check check (state in
    ('pending', 'approved', 'denied', 'edited', 'expired', 'cancelled', 'superseded', 'no_channel'));

create table approval_edits (
  tenant text not null,
  -- The held call that was changed.
  id text not null,
  -- Keyed name of the exact call that it was changed into.
  call text not null,
  edited_by text not null,
  -- Milliseconds UTC.
  at bigint not null,
  primary key (tenant, id)
);
create index approval_edits_into on approval_edits (tenant, call, at);

-- Of a grant: the held call with whose approval it was given.
alter table approvals add column grant_of text;
create index approvals_granted on approvals (tenant, position desc)
  where state = 'approved' and grant_of is not null;

revoke all on approval_edits from public;
grant select, insert on approval_edits to countersign_approvals;
