-- Similar held calls in one message, channels that fail, and dead letters that somebody still has to hear of.
--
-- Why: many alike calls of one agent are one message that changes in place; a call whose every channel is dead must end,
-- and an operator must hear of it, also when the notifier dies between the two.
-- Locks: adds columns with constant defaults (a moment), and writes each stored notice once. Not breaking.
-- Role: countersign_notifier, as before.

-- The first call of the message in which a call stands: itself, where it stands alone.
alter table notice_messages
  add column lead text not null default '',
  -- Name of what is alike, '' where the channel does not group.
  add column similar_to text not null default '',
  -- When the message was begun, milliseconds UTC.
  add column opened_at bigint not null default 0,
  -- The call does not wait any more.
  add column ended boolean not null default false;
update notice_messages set lead = approval;
create index notice_messages_similar on notice_messages (tenant, channel, similar_to, opened_at) where similar_to <> '';

alter table notices
  add column lead text not null default '',
  -- Of a dead one: that its call may be unreachable has been looked at.
  add column settled boolean not null default false;
update notices set lead = approval, settled = true;
create index notices_of_message on notices (tenant, channel, lead, position);
create index notices_unsettled on notices (position) where state = 'dead' and not settled;

-- Channels that were down at least once.
create table notice_channels (
  tenant text not null,
  channel text not null,
  down boolean not null,
  -- Milliseconds UTC of the last change.
  changed_at bigint not null,
  fault text not null,
  -- Whether the chain has the alert about it.
  told boolean not null default false,
  primary key (tenant, channel)
);
revoke all on notice_channels from public;
grant select, insert, update, delete on notice_channels to countersign_notifier;
