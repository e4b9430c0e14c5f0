-- Restock the pool every minute.  Needs pool.sql, and pg_cron preloaded.

CREATE EXTENSION pg_cron;
GRANT USAGE ON SCHEMA cron TO pool_keeper;

-- A job runs as the role that schedules it.
SET ROLE pool_keeper;
SELECT cron.schedule('restock the pool', '* * * * *', 'SELECT pool.restock()') > 0 AS scheduled;
RESET ROLE;

-- How it goes:
SELECT status, return_message FROM cron.job_run_details ORDER BY runid DESC LIMIT 5;
