-- A row is indexed by its name first, and no index looks for equal keys where there are none.
--
-- Why: ids grow with time, so rows come in at one edge of the index, found by the first column; below (tenant, kind) there
-- were as many edges as kinds of tenants, and each comparison looked at three texts. And while its statistics were old,
-- Postgres took that index for "the decisions of a tenant" and read all of them for a few. The keys of the others end in
-- a sequence: no two are equal, so a look for equal ones before a page is split is in vain.
-- Locks: `chain_rows` cannot be written while its index is built, about two seconds for a million rows. Not breaking.

create unique index chain_rows_name on chain_rows (record_id, kind, tenant);
drop index chain_rows_record;

do $$
declare index_name text;
begin
  foreach index_name in array array['chain_rows_about', 'search_rows_at', 'search_rows_agent', 'search_rows_person',
    'search_rows_tool', 'search_rows_approval', 'search_rows_reason', 'search_rows_verdict', 'search_rows_mode',
    'search_rows_rest'] loop
    execute format('alter index %I set (deduplicate_items = off)', index_name);
  end loop;
end $$;
