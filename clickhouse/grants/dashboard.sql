-- Rights of the dashboard on a real ClickHouse server: every table and view, and no way to change any.
--
-- An administrator runs this once, after the migrations, with `{database}` replaced and a password set, and names the
-- user in the environment of `trueup service dashboard` alone: TRUEUP_CLICKHOUSE__USER and TRUEUP_CLICKHOUSE__PASSWORD.
-- readonly = 2: a page's query may say how it wants to be run; it still cannot write. The dashboard refuses to start as
-- a user who can.

CREATE SETTINGS PROFILE IF NOT EXISTS trueup_dashboard SETTINGS
    readonly = 2,
    max_execution_time = 60 MAX 600,
    max_memory_usage = 2000000000 MAX 2000000000;

CREATE USER IF NOT EXISTS trueup_dashboard IDENTIFIED BY '{password}' SETTINGS PROFILE 'trueup_dashboard';

GRANT SELECT ON {database}.* TO trueup_dashboard;
GRANT SELECT ON system.parts TO trueup_dashboard;
