-- A payload of a usual call stays in its row.
--
-- Why: from 2 KB on Postgres compresses a value and puts it into a second table, which took a third of what it spends
-- on a chained record. A row may now fill a page; larger payloads go out of line as before.
-- Locks: short, on `payloads` (share update exclusive). Rows that are there stay as they are. Not breaking.

alter table payloads set (toast_tuple_target = 8160);
