-- Rights of an analyst on a real ClickHouse server: the views, and nothing below them.
--
-- An administrator runs this once, after the migrations, with `{database}` replaced, and then gives the role to people:
--     GRANT trueup_analyst TO maria;
-- The views have SQL SECURITY DEFINER: they read with the rights of the user that applied the migrations, so the
-- analyst needs no right on the tables, and that user must stay. The embedded endpoint needs none of this: it grants its
-- analyst the same, and holds it within the same bounds.
--
-- 0 means "no bound" to ClickHouse, hence MIN 1: without it an analyst could lift a bound by setting it to 0.

CREATE SETTINGS PROFILE IF NOT EXISTS trueup_analyst SETTINGS
    readonly = 2,
    max_execution_time = 60 MIN 1 MAX 60,
    max_memory_usage = 1073741824 MIN 1 MAX 1073741824,
    max_result_rows = 1000000 MIN 1 MAX 1000000,
    max_threads = 2 MIN 1 MAX 2,
    max_temporary_data_on_disk_size_for_query = 2147483648 MIN 1 MAX 2147483648,
    max_concurrent_queries_for_user = 3 MIN 1 MAX 3;

CREATE ROLE IF NOT EXISTS trueup_analyst SETTINGS PROFILE 'trueup_analyst';

GRANT SELECT ON {database}.v_* TO trueup_analyst;
