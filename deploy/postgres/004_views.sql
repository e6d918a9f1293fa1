-- What is shown, and to whom.

-- A text without the values that are not shown. Exact occurrences, the longest first.
CREATE FUNCTION adyton_api.hide(body text, names text[], hidden text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE one record;
BEGIN
  FOR one IN SELECT n, v FROM unnest(names, hidden) AS x(n, v) WHERE length(v) > 2 ORDER BY length(v) DESC, v LOOP
    body := replace(body, one.v, '[' || one.n || ']');
  END LOOP;
  RETURN body;
END $$;

-- The passages that this transaction's open grant names, masked. A barrier: no function of the reader's sees a row, or a
-- field, before it was decided that it is shown. Whoever has no open grant sees an empty table.
CREATE VIEW adyton_api.passages WITH (security_barrier) AS
SELECT g.rank, g.score, s.tenant, s.collection, p.id, p.document, p.ordinal, d.classification,
  CASE WHEN NOT 'title' = ANY (i.masked) AND (NOT 'title' = ANY (s.sensitive) OR 'title' = ANY (i.unmasked))
    THEN d.title ELSE '[title]' END AS title,
  adyton_api.hide(p.body, f.hidden_names, f.hidden_values) AS body,
  f.fields
FROM adyton.opened o
JOIN adyton.issued i ON i.id = o.issued
JOIN adyton.granted g ON g.issued = i.id
JOIN adyton.space s ON s.space = g.space
JOIN adyton.passage p ON p.space = g.space AND p.id = g.passage
JOIN adyton.document d ON d.space = g.space AND d.document = p.document
CROSS JOIN LATERAL (
  SELECT coalesce(jsonb_object_agg(x.name, x.value) FILTER (WHERE x.shown), '{}') AS fields,
    coalesce(array_agg(x.name ORDER BY x.name) FILTER (WHERE NOT x.shown), '{}') AS hidden_names,
    coalesce(array_agg(x.value ORDER BY x.name) FILTER (WHERE NOT x.shown), '{}') AS hidden_values
  FROM (
    SELECT y.name, y.value,
      NOT y.name = ANY (i.masked) AND (NOT y.name = ANY (s.sensitive) OR y.name = ANY (i.unmasked)) AS shown
    FROM adyton.field y WHERE y.space = g.space AND y.passage = g.passage
    UNION ALL
    SELECT 'title', d.title,
      NOT 'title' = ANY (i.masked) AND (NOT 'title' = ANY (s.sensitive) OR 'title' = ANY (i.unmasked))
    WHERE d.title <> ''
  ) AS x
  WHERE NOT (x.name = 'title' AND x.shown)
) AS f
WHERE o.backend = pg_backend_pid() AND o.xact = pg_current_xact_id_if_assigned()
  AND i.kind = 'lookup' AND i.expires > clock_timestamp()
  AND current_user = 'adyton_data_' || i.data_role;

-- For auditors: the chain, and who has reached how much of what.
CREATE VIEW adyton_api.entries WITH (security_barrier) AS SELECT * FROM adyton.entry;
CREATE VIEW adyton_api.coverage WITH (security_barrier) AS
SELECT v.principal, s.tenant, s.collection, sum(v.lookups) AS lookups, sum(v.passages) AS passages, sum(v.new) AS reached,
  s.passages AS of_passages, round(sum(v.new)::numeric / greatest(s.passages, 1), 4) AS share, max(v.hour) AS lately
FROM adyton.volume v JOIN adyton.space s ON s.space = v.space
GROUP BY v.principal, s.space, s.tenant, s.collection, s.passages;

-- The first entry of the chain that is not as it must be; NULL if all are.
CREATE FUNCTION adyton_api.broken() RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  before bytea := sha256('adyton-retrieval-audit-1');
  expected bigint := 1;
  e adyton.entry;
BEGIN
  FOR e IN SELECT * FROM adyton.entry ORDER BY seq LOOP
    IF e.seq <> expected OR e.hash <> sha256(before || adyton.line(e)) THEN RETURN e.seq; END IF;
    before := e.hash;
    expected := expected + 1;
  END LOOP;
  IF EXISTS (SELECT FROM adyton.head h WHERE h.seq <> expected - 1 OR h.hash <> before) THEN RETURN expected; END IF;
  RETURN NULL;
END $$;
CREATE VIEW adyton_api.head WITH (security_barrier) AS SELECT seq, hash FROM adyton.head;

-- Whose is what, and who may call it. Nothing is anybody's by default.
DO $$
DECLARE one regprocedure;
BEGIN
  FOR one IN SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace IN ('adyton'::regnamespace, 'adyton_api'::regnamespace) LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one);
    EXECUTE format('ALTER FUNCTION %s OWNER TO adyton_gate', one);
  END LOOP;
END $$;
ALTER FUNCTION adyton.append_only() OWNER TO adyton_owner;
ALTER FUNCTION adyton.set_key(bytea) OWNER TO adyton_owner;
ALTER FUNCTION adyton.find(int, adyton_ext.vector, int, jsonb) OWNER TO adyton_find;
ALTER FUNCTION adyton_api.ingest(bytea, text) OWNER TO adyton_ingest;
GRANT EXECUTE ON FUNCTION adyton.find(int, adyton_ext.vector, int, jsonb) TO adyton_gate;
GRANT EXECUTE ON FUNCTION adyton.open_as(text, bytea), adyton.ingested(bytea, bytea[], bigint), adyton.refuse(text)
  TO adyton_ingest;
GRANT EXECUTE ON FUNCTION adyton_api.register(text, bytea, real[]), adyton_api.open(bytea),
  adyton_api.register_ingest(text, bytea), adyton_api.ingest(bytea, text) TO adyton_worker;
GRANT EXECUTE ON FUNCTION adyton_api.broken() TO adyton_auditor;
ALTER VIEW adyton_api.passages OWNER TO adyton_view;
ALTER VIEW adyton_api.entries OWNER TO adyton_gate;
ALTER VIEW adyton_api.coverage OWNER TO adyton_gate;
ALTER VIEW adyton_api.head OWNER TO adyton_gate;
GRANT SELECT ON adyton_api.entries, adyton_api.coverage, adyton_api.head TO adyton_auditor;
