-- Who there is in the database. Run 001 to 005 in order, once, as a superuser of an empty database of its own (README.md).
-- Nobody here owns more than he needs; only adyton_worker logs in, and it owns nothing.
--
--   adyton_owner    owns the tables; row-level security is forced, so ownership alone reads no row
--   adyton_gate     verifies grants, keeps the audit chain: reads the key, never a text or a vector
--   adyton_find     finds ids by vector and field: never reads a text
--   adyton_view     shows passages that an open grant names: never reads a vector
--   adyton_ingest   writes passages under a grant
--   adyton_auditor  reads the audit chain and the volumes; give it to persons
--   adyton_worker   the enclave's worker: logs in, may call two doors, may become a data role for one transaction
--   adyton_data_X   one for each data role: reads what an open grant shows, and nothing without one
DO $$
DECLARE who text;
BEGIN
  FOREACH who IN ARRAY ARRAY['owner', 'gate', 'find', 'view', 'ingest', 'auditor'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'adyton_' || who) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', 'adyton_' || who);
    END IF;
  END LOOP;
  -- When a connection began is shown to its own role alone; the gate must know it of the worker's.
  ALTER ROLE adyton_gate INHERIT;
  GRANT pg_read_all_stats TO adyton_gate;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'adyton_worker') THEN
    -- Without a password nobody logs in; the operator sets one (README.md).
    CREATE ROLE adyton_worker LOGIN NOINHERIT NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 32;
  END IF;
  -- Nobody but whom we name connects, makes temporary tables, or looks into schema public.
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO adyton_worker, adyton_auditor', current_database());
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- Against accidents and lost connections; a hostile worker can set them otherwise.
ALTER ROLE adyton_worker SET search_path = '';
ALTER ROLE adyton_worker SET statement_timeout = '10s';
ALTER ROLE adyton_worker SET lock_timeout = '5s';
ALTER ROLE adyton_worker SET idle_in_transaction_session_timeout = '10s';

-- Large objects belong to whoever makes them, and would be a place to keep things. Advisory locks and pg_notify would be a
-- way to talk past the audit; and no worker ends another's connection.
DO $$
DECLARE one regprocedure;
BEGIN
  FOR one IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
    AND (proname ~ '^(lo_|loread|lowrite|pg_(try_)?advisory)' OR proname IN ('pg_notify', 'set_config', 'pg_terminate_backend', 'pg_cancel_backend')) LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', one);
  END LOOP;
END $$;

CREATE SCHEMA IF NOT EXISTS adyton AUTHORIZATION adyton_owner;      -- tables, and functions for each other
CREATE SCHEMA IF NOT EXISTS adyton_api AUTHORIZATION adyton_owner;  -- what a worker or an auditor may touch
CREATE SCHEMA IF NOT EXISTS adyton_ext AUTHORIZATION adyton_owner;  -- pgvector
CREATE EXTENSION IF NOT EXISTS vector SCHEMA adyton_ext;

GRANT USAGE ON SCHEMA adyton TO adyton_gate, adyton_find, adyton_view, adyton_ingest;
GRANT USAGE ON SCHEMA adyton_ext TO adyton_gate, adyton_find, adyton_ingest;
GRANT USAGE ON SCHEMA adyton_api TO adyton_worker, adyton_auditor;
