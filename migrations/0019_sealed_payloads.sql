-- Payloads stand sealed (services/host/at-rest.ts): no file of the database holds a plain one.
--
-- Why: a deleted row and the write-ahead log keep their bytes until they are reused, and copies of files leave the
-- database's own rights behind. What was stored before stays as it was, in bytes, and readable: `countersign rebuild`
-- seals it, and seals again what stands under an older key.
-- Locks: access exclusive on `payloads` while it is rewritten; minutes where it is gigabytes, and decisions go on
-- meanwhile. Breaking: a chainer of before cannot append until it is replaced; what it cannot append waits in the stream.

alter table payloads
  alter column body type bytea using convert_to(body, 'UTF8'),
  -- Sealed bytes cannot be compressed.
  alter column body set storage external;

-- The bytes may be replaced by those of the same row under another key, and nothing else may change.
create function refuse_update_unless_resealing() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('app.resealing', true), '') <> 'on' then
    raise exception 'update on payloads is refused: only sealing anew changes one' using errcode = 'insufficient_privilege';
  end if;
  return null;
end $$;

drop trigger payloads_stay on payloads;
create trigger payloads_stay before truncate on payloads
  for each statement execute function refuse_change();
create trigger payloads_are_resealed before update on payloads
  for each statement execute function refuse_update_unless_resealing();
grant update (body) on payloads to countersign_chainer;
