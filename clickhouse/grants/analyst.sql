-- Rights of an analyst on a real ClickHouse server: the views, and nothing below them.
--
-- An administrator runs this once, after the migrations, with `{database}` replaced, and then gives the role to people:
--     GRANT trueup_analyst TO maria;
-- The views have SQL SECURITY DEFINER: they read with the rights of the user that applied the migrations, so the
-- analyst needs no right on the tables, and that user must stay. The embedded endpoint needs none of this: its analyst
-- is read-only by the endpoint itself, but may read the tables as well.

CREATE SETTINGS PROFILE IF NOT EXISTS trueup_analyst SETTINGS
    readonly = 2,
    max_execution_time = 60 MAX 60,
    max_memory_usage = 2000000000 MAX 2000000000,
    max_result_rows = 1000000 MAX 1000000;

CREATE ROLE IF NOT EXISTS trueup_analyst SETTINGS PROFILE 'trueup_analyst';

GRANT SELECT ON {database}.v_* TO trueup_analyst;
