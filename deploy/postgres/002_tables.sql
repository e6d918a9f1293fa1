-- What is kept. Row-level security is enabled and forced on every table that holds somebody's data: whoever has no policy
-- reads nothing, the owner among them.

-- A collection of one tenant: one partition, one index. Neither recall nor distances depend on others' rows.
CREATE TABLE adyton.space (
  space int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  collection text NOT NULL,
  data_role text NOT NULL,
  classification smallint NOT NULL CHECK (classification BETWEEN 0 AND 3),
  sensitive text[] NOT NULL DEFAULT '{}',      -- shown under a grant alone that unmasks them; "title" is that of documents
  passages bigint NOT NULL DEFAULT 0,
  most_per_hour int,                           -- passages that one principal may reach in an hour; NULL: no limit
  most_share real,                             -- the part of the collection that one principal may ever reach
  UNIQUE (tenant, collection)
);

CREATE TABLE adyton.document (
  space int NOT NULL,
  document text NOT NULL CHECK (octet_length(document) BETWEEN 1 AND 512),
  title text NOT NULL CHECK (octet_length(title) <= 1024),
  classification smallint NOT NULL CHECK (classification BETWEEN 0 AND 3),
  PRIMARY KEY (space, document)
);

CREATE TABLE adyton.passage (
  space int NOT NULL,
  id bytea NOT NULL CHECK (octet_length(id) = 16),
  document text NOT NULL,
  ordinal int NOT NULL CHECK (ordinal >= 0),
  body text NOT NULL CHECK (octet_length(body) <= 65536),
  embedding adyton_ext.vector(384) NOT NULL,
  PRIMARY KEY (space, id)
) PARTITION BY LIST (space);
CREATE INDEX passage_document ON adyton.passage (space, document);

CREATE TABLE adyton.field (
  space int NOT NULL,
  passage bytea NOT NULL,
  name text NOT NULL CHECK (name ~ '^[A-Za-z0-9_.-]{1,40}$'),
  value text NOT NULL CHECK (octet_length(value) BETWEEN 1 AND 1024),
  PRIMARY KEY (space, passage, name)
) PARTITION BY LIST (space);
CREATE INDEX field_value ON adyton.field (space, name, value, passage);

-- The key that sentinel and database share, already mixed with the two pads of HMAC (RFC 2104).
CREATE TABLE adyton.secret (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  inner_pad bytea NOT NULL CHECK (octet_length(inner_pad) = 64),
  outer_pad bytea NOT NULL CHECK (octet_length(outer_pad) = 64)
);

-- Grants that were registered. Their names are used once; a row stays until its grant has expired (adyton.forget).
CREATE TABLE adyton.issued (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  kind text NOT NULL CHECK (kind IN ('lookup', 'ingest')),
  principal bytea NOT NULL CHECK (octet_length(principal) = 32),
  tenant text NOT NULL,
  purpose text NOT NULL,
  collection text NOT NULL,
  data_role text NOT NULL,
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),
  most int NOT NULL CHECK (most BETWEEN 1 AND 256),
  expires timestamptz NOT NULL,
  masked text[] NOT NULL,
  unmasked text[] NOT NULL,
  rules jsonb NOT NULL,
  space int NOT NULL,
  backend int NOT NULL,             -- the connection, and when it began: process ids come again
  started timestamptz NOT NULL,
  registered xid8 NOT NULL,         -- the transaction that registered it; another one opens it
  opened_at timestamptz
);

-- Which passages a registered look-up found: fixed, and in the audit chain, before any of them can be read.
CREATE TABLE adyton.granted (
  issued bytea NOT NULL,
  rank int NOT NULL,
  space int NOT NULL,
  passage bytea NOT NULL,
  score smallint NOT NULL,
  PRIMARY KEY (issued, rank)
);

-- Which transaction may use which grant. A transaction's name never comes again, so a row is dead once that has ended.
CREATE TABLE adyton.opened (
  backend int NOT NULL,
  xact xid8 NOT NULL,
  issued bytea NOT NULL,
  PRIMARY KEY (backend, xact)
);

-- The audit chain: each entry hashes the one before it.
CREATE TABLE adyton.entry (
  seq bigint PRIMARY KEY,
  at timestamptz NOT NULL,
  kind text NOT NULL,               -- registered, opened, ingested, refused
  issued bytea NOT NULL,
  principal bytea NOT NULL,
  tenant text NOT NULL,
  purpose text NOT NULL,
  collection text NOT NULL,
  digest bytea NOT NULL,
  masked text[] NOT NULL,
  unmasked text[] NOT NULL,
  passages bytea[] NOT NULL,
  note text NOT NULL,
  hash bytea NOT NULL
);
CREATE TABLE adyton.head (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  seq bigint NOT NULL,
  hash bytea NOT NULL
);
INSERT INTO adyton.head (seq, hash) VALUES (0, sha256('adyton-retrieval-audit-1'));

-- How much, and how far: by principal and collection.
CREATE TABLE adyton.reached (
  principal bytea NOT NULL,
  space int NOT NULL,
  passage bytea NOT NULL,
  PRIMARY KEY (principal, space, passage)
);
CREATE TABLE adyton.volume (
  principal bytea NOT NULL,
  space int NOT NULL,
  hour timestamptz NOT NULL,
  lookups int NOT NULL,
  passages int NOT NULL,
  new int NOT NULL,                 -- passages that the principal had not reached before
  PRIMARY KEY (principal, space, hour)
);

DO $$
DECLARE one text;
BEGIN
  FOREACH one IN ARRAY ARRAY['space', 'document', 'passage', 'field', 'secret', 'issued', 'granted', 'opened', 'entry',
    'head', 'reached', 'volume'] LOOP
    EXECUTE format('ALTER TABLE adyton.%I OWNER TO adyton_owner', one);
    EXECUTE format('ALTER TABLE adyton.%I ENABLE ROW LEVEL SECURITY', one);
    EXECUTE format('ALTER TABLE adyton.%I FORCE ROW LEVEL SECURITY', one);
  END LOOP;
END $$;

-- The chain grows at its end. Who may switch triggers off, a superuser, can still rewrite it; then its head no longer is
-- the one that auditors wrote down.
CREATE FUNCTION adyton.append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'AD009', MESSAGE = 'adyton: the audit chain only grows';
END $$;
ALTER FUNCTION adyton.append_only() OWNER TO adyton_owner;
REVOKE ALL ON FUNCTION adyton.append_only() FROM PUBLIC;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON adyton.entry
  FOR EACH STATEMENT EXECUTE FUNCTION adyton.append_only();

-- What each role may see of which table: columns here, rows below.
GRANT SELECT ON adyton.secret TO adyton_gate;
GRANT SELECT, UPDATE (passages) ON adyton.space TO adyton_gate;
GRANT SELECT, INSERT, DELETE, UPDATE (opened_at) ON adyton.issued TO adyton_gate;
GRANT SELECT, INSERT, DELETE ON adyton.granted TO adyton_gate;
GRANT SELECT, INSERT, DELETE ON adyton.opened TO adyton_gate;
GRANT SELECT, INSERT ON adyton.entry TO adyton_gate;
GRANT SELECT, UPDATE ON adyton.head TO adyton_gate;
GRANT SELECT, INSERT ON adyton.reached TO adyton_gate;
GRANT SELECT, INSERT, UPDATE ON adyton.volume TO adyton_gate;
GRANT SELECT (space, id, embedding) ON adyton.passage TO adyton_find;
GRANT SELECT ON adyton.field TO adyton_find;
GRANT SELECT ON adyton.space, adyton.document, adyton.field, adyton.granted, adyton.opened TO adyton_view;
GRANT SELECT (space, id, document, ordinal, body) ON adyton.passage TO adyton_view;
GRANT SELECT (id, kind, data_role, expires, masked, unmasked, backend) ON adyton.issued TO adyton_view;
GRANT SELECT (space, tenant, collection, classification) ON adyton.space TO adyton_ingest;
GRANT SELECT (id, kind, space, most, digest, tenant, collection) ON adyton.issued TO adyton_ingest;
GRANT SELECT ON adyton.opened TO adyton_ingest;
GRANT SELECT (space, document), INSERT, DELETE, UPDATE ON adyton.document TO adyton_ingest;
GRANT SELECT (space, id, document), INSERT, DELETE ON adyton.passage TO adyton_ingest;
GRANT SELECT (space, passage), INSERT, DELETE ON adyton.field TO adyton_ingest;

CREATE POLICY gate ON adyton.secret TO adyton_gate USING (true);
CREATE POLICY gate ON adyton.space TO adyton_gate USING (true) WITH CHECK (true);
CREATE POLICY gate ON adyton.issued TO adyton_gate USING (true) WITH CHECK (true);
CREATE POLICY gate ON adyton.granted TO adyton_gate USING (true) WITH CHECK (true);
CREATE POLICY gate ON adyton.opened TO adyton_gate USING (true) WITH CHECK (true);
CREATE POLICY gate ON adyton.entry TO adyton_gate USING (true) WITH CHECK (true);
CREATE POLICY gate ON adyton.head TO adyton_gate USING (true) WITH CHECK (true);
CREATE POLICY gate ON adyton.reached TO adyton_gate USING (true) WITH CHECK (true);
CREATE POLICY gate ON adyton.volume TO adyton_gate USING (true) WITH CHECK (true);
CREATE POLICY find ON adyton.passage FOR SELECT TO adyton_find USING (true);
CREATE POLICY find ON adyton.field FOR SELECT TO adyton_find USING (true);

-- One transaction opens one grant at most (the key of adyton.opened). Shown is what a grant names that this very transaction of this very connection has opened.
CREATE POLICY shown ON adyton.opened FOR SELECT TO adyton_view, adyton_ingest
  USING (backend = pg_backend_pid() AND xact = pg_current_xact_id_if_assigned());
CREATE POLICY shown ON adyton.issued FOR SELECT TO adyton_view, adyton_ingest
  USING (id = (SELECT o.issued FROM adyton.opened o));
CREATE POLICY shown ON adyton.granted FOR SELECT TO adyton_view
  USING (issued = (SELECT o.issued FROM adyton.opened o));
CREATE POLICY shown ON adyton.passage FOR SELECT TO adyton_view
  USING ((space, id) IN (SELECT g.space, g.passage FROM adyton.granted g
    WHERE g.issued = (SELECT o.issued FROM adyton.opened o)));
CREATE POLICY shown ON adyton.field FOR SELECT TO adyton_view
  USING ((space, passage) IN (SELECT g.space, g.passage FROM adyton.granted g
    WHERE g.issued = (SELECT o.issued FROM adyton.opened o)));
CREATE POLICY shown ON adyton.document FOR SELECT TO adyton_view
  USING (space IN (SELECT g.space FROM adyton.granted g WHERE g.issued = (SELECT o.issued FROM adyton.opened o)));
CREATE POLICY shown ON adyton.space FOR SELECT TO adyton_view
  USING (space IN (SELECT g.space FROM adyton.granted g WHERE g.issued = (SELECT o.issued FROM adyton.opened o)));

-- Written is where a grant of ingest says.
CREATE POLICY written ON adyton.space FOR SELECT TO adyton_ingest
  USING (space = (SELECT i.space FROM adyton.issued i WHERE i.kind = 'ingest'));
CREATE POLICY written ON adyton.document TO adyton_ingest
  USING (space = (SELECT i.space FROM adyton.issued i WHERE i.kind = 'ingest'));
CREATE POLICY written ON adyton.passage TO adyton_ingest
  USING (space = (SELECT i.space FROM adyton.issued i WHERE i.kind = 'ingest'));
CREATE POLICY written ON adyton.field TO adyton_ingest
  USING (space = (SELECT i.space FROM adyton.issued i WHERE i.kind = 'ingest'));
