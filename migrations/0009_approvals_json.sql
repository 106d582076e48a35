-- What is kept of a held call as JSON that holds any text, also a NUL that an agent wrote: jsonb refuses that.
--
-- Locks: access exclusive on `approvals` while it is rewritten. Not breaking; only its own process reads it.

alter table approvals
  alter column progress type json using progress::json,
  alter column facts type json using facts::json;
