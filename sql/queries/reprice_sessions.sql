-- The sessions that bear the asking one's name, and the seconds for which the slowest of them has been in one state.
SELECT count(*) AS sessions, coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0)::float8 AS seconds
FROM pg_stat_activity
WHERE application_name = current_setting('application_name') AND usename = current_user
    AND datname = current_database() AND pid <> pg_backend_pid()
