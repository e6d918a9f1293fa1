-- The gate: verifies what the sentinel signed, writes it down, and opens it for one transaction.
--
-- Two steps, because whoever rolls back erases what he did: register() finds and names the passages, and commits that to the
-- audit chain; open(), in a later transaction of the same connection, lets them be read. So nothing is read that is not
-- already written down.
--
-- Errors are of a few fixed sentences, and say nothing about any row:
--   AD001 not a grant of the sentinel's for this here     AD002 expired     AD003 already used
--   AD004 for another question                            AD005 no such collection for this role
--   AD007 not yet committed                               AD008 what is written is not what was granted
-- Every function pins its search_path, with pg_temp last: nobody's table or operator comes before the ones meant.

CREATE FUNCTION adyton.refuse(code text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'adyton: refused';
END $$;

-- HMAC-SHA256 (RFC 2104) by sha256 of the core.
CREATE FUNCTION adyton.keyed_hash(message bytea) RETURNS bytea LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT sha256(outer_pad || sha256(inner_pad || message)) FROM adyton.secret
$$;

-- Compared are hashes under a nonce: how far a comparison of bytes gets tells nothing about the right ones.
CREATE FUNCTION adyton.same(one bytea, other bytea) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE nonce bytea := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
BEGIN
  RETURN coalesce(sha256(nonce || one) = sha256(nonce || other), false);
END $$;

CREATE FUNCTION adyton.after(line text, word text) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF line IS NULL OR NOT starts_with(line, word) THEN PERFORM adyton.refuse('AD001'); END IF;
  RETURN substr(line, length(word) + 1);
END $$;

CREATE FUNCTION adyton.words(list text) RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN list = '' THEN '{}'::text[] ELSE string_to_array(list, ',') END
$$;

CREATE FUNCTION adyton.unhex(digits text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT convert_from(decode(digits, 'hex'), 'UTF8')
$$;

-- A grant as a row, verified: the keyed hash first, over exactly these bytes, and only then is anything read in them.
CREATE FUNCTION adyton.verified(grant_text text, mac bytea) RETURNS adyton.issued LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  g adyton.issued;
  lines text[];
  line text;
  parts text[];
BEGIN
  IF grant_text IS NULL OR octet_length(grant_text) > 65536 OR octet_length(mac) IS DISTINCT FROM 32
    OR NOT adyton.same(adyton.keyed_hash(convert_to(grant_text, 'UTF8')), mac) THEN
    PERFORM adyton.refuse('AD001');
  END IF;
  lines := string_to_array(grant_text, E'\n');
  IF lines[1] <> 'adyton-lookup-1' THEN PERFORM adyton.refuse('AD001'); END IF;
  g.kind := adyton.after(lines[2], 'action ');
  g.id := decode(adyton.after(lines[3], 'grant '), 'hex');
  g.principal := decode(adyton.after(lines[4], 'principal '), 'hex');
  g.tenant := adyton.unhex(adyton.after(lines[5], 'tenant '));
  g.purpose := adyton.unhex(adyton.after(lines[6], 'purpose '));
  g.collection := adyton.after(lines[7], 'collection ');
  g.data_role := adyton.after(lines[8], 'role ');
  g.digest := decode(adyton.after(lines[9], 'digest '), 'hex');
  g.most := adyton.after(lines[10], 'most ')::int;
  g.expires := to_timestamp(adyton.after(lines[11], 'expires ')::float8);
  g.masked := adyton.words(adyton.after(lines[12], 'masked '));
  g.unmasked := adyton.words(adyton.after(lines[13], 'unmasked '));
  g.rules := '{}';
  FOREACH line IN ARRAY coalesce(lines[14:], '{}') LOOP
    parts := string_to_array(adyton.after(line, 'row '), ' ');
    g.rules := g.rules || jsonb_build_object(parts[1],
      (SELECT coalesce(jsonb_agg(adyton.unhex(digits)), '[]') FROM unnest(adyton.words(parts[2])) AS digits));
  END LOOP;
  IF g.expires <= clock_timestamp() THEN PERFORM adyton.refuse('AD002'); END IF;
  SELECT space INTO g.space FROM adyton.space s
    WHERE s.tenant = g.tenant AND s.collection = g.collection AND s.data_role = g.data_role;
  IF NOT FOUND THEN PERFORM adyton.refuse('AD005'); END IF;
  g.backend := pg_backend_pid();
  SELECT backend_start INTO g.started FROM pg_stat_get_activity(pg_backend_pid());
  g.registered := pg_current_xact_id();
  RETURN g;
END $$;

-- Once: a name that is there already was used.
CREATE FUNCTION adyton.keep(g adyton.issued) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO adyton.issued SELECT g.* ON CONFLICT (id) DO NOTHING;
  IF NOT FOUND THEN PERFORM adyton.refuse('AD003'); END IF;
END $$;

-- An entry's line, over which the chain hashes. Names and lists cannot end it: what is free text is in hexadecimal.
CREATE FUNCTION adyton.line(e adyton.entry) RETURNS bytea LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT convert_to(concat_ws('|', e.seq, (extract(epoch FROM e.at) * 1000000)::bigint, e.kind, encode(e.issued, 'hex'),
    encode(e.principal, 'hex'), encode(convert_to(e.tenant, 'UTF8'), 'hex'), encode(convert_to(e.purpose, 'UTF8'), 'hex'),
    e.collection, encode(e.digest, 'hex'), array_to_string(e.masked, ','), array_to_string(e.unmasked, ','),
    (SELECT coalesce(string_agg(encode(p, 'hex'), ',' ORDER BY n), '') FROM unnest(e.passages) WITH ORDINALITY AS x(p, n)),
    encode(convert_to(e.note, 'UTF8'), 'hex')), 'UTF8')
$$;

CREATE FUNCTION adyton.record(happened text, g adyton.issued, ids bytea[], remark text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  before adyton.head;
  e adyton.entry;
BEGIN
  SELECT * INTO before FROM adyton.head FOR UPDATE;
  e := ROW(before.seq + 1, clock_timestamp(), happened, g.id, g.principal, g.tenant, g.purpose, g.collection, g.digest,
    g.masked, g.unmasked, ids, remark, NULL);
  e.hash := sha256(before.hash || adyton.line(e));
  INSERT INTO adyton.entry SELECT e.*;
  UPDATE adyton.head SET seq = e.seq, hash = e.hash;
END $$;

-- Ids of the nearest passages. Exact where the rules leave few; by the partition's own index, going on until enough rows
-- pass, where they leave many. Distances are rounded to hundredths, and never leave but as ranks and these.
CREATE FUNCTION adyton.find(sp int, query adyton_ext.vector, most int, rules jsonb)
RETURNS TABLE (rank int, passage bytea, score smallint) LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, adyton_ext, pg_temp AS $$
DECLARE
  rule record;
  listed bytea[];
  few bytea[];
BEGIN
  FOR rule IN SELECT key, ARRAY(SELECT jsonb_array_elements_text(value)) AS allowed FROM jsonb_each(rules) LOOP
    EXECUTE format('SELECT array_agg(passage) FROM (SELECT passage FROM adyton.field
      WHERE space = %s AND name = $1 AND value = ANY ($2) LIMIT 10001) AS listed', sp)
      INTO listed USING rule.key, rule.allowed;
    IF listed IS NULL THEN RETURN; END IF;
    IF cardinality(listed) <= 10000 AND (few IS NULL OR cardinality(listed) < cardinality(few)) THEN
      few := listed;
    END IF;
  END LOOP;
  IF few IS NOT NULL THEN
    RETURN QUERY EXECUTE format('WITH near AS MATERIALIZED (
        SELECT p.id, p.embedding <=> $1 AS distance FROM adyton.passage p WHERE p.space = %1$s AND p.id = ANY ($2)
        AND NOT EXISTS (SELECT FROM jsonb_each($3) r WHERE NOT EXISTS (SELECT FROM adyton.field f
          WHERE f.space = %1$s AND f.passage = p.id AND f.name = r.key AND r.value ? f.value)))
      SELECT (row_number() OVER (ORDER BY distance, id))::int, id, round((1 - distance) * 100)::smallint
      FROM near ORDER BY distance, id LIMIT $4', sp) USING query, few, rules, most;
  ELSIF rules = '{}' THEN
    RETURN QUERY EXECUTE format('WITH near AS MATERIALIZED (
        SELECT p.id, p.embedding <=> $1 AS distance FROM adyton.passage p WHERE p.space = %s
        ORDER BY p.embedding <=> $1 LIMIT $2)
      SELECT (row_number() OVER (ORDER BY distance, id))::int, id, round((1 - distance) * 100)::smallint
      FROM near ORDER BY distance, id', sp) USING query, most;
  ELSE
    RETURN QUERY EXECUTE format('WITH near AS MATERIALIZED (
        SELECT p.id, p.embedding <=> $1 AS distance FROM adyton.passage p WHERE p.space = %1$s
        AND NOT EXISTS (SELECT FROM jsonb_each($2) r WHERE NOT EXISTS (SELECT FROM adyton.field f
          WHERE f.space = %1$s AND f.passage = p.id AND f.name = r.key AND r.value ? f.value))
        ORDER BY p.embedding <=> $1 LIMIT $3)
      SELECT (row_number() OVER (ORDER BY distance, id))::int, id, round((1 - distance) * 100)::smallint
      FROM near ORDER BY distance, id', sp) USING query, rules, most;
  END IF;
END $$;

-- pgvector 0.8 and later go on scanning until enough rows pass the rules; a misspelt setting would only warn, so it is looked
-- for. Without it the rows that the rules leave are fewer than asked for, never others.
DO $$
BEGIN
  PERFORM '[1]'::adyton_ext.vector;
  ALTER FUNCTION adyton.find(int, adyton_ext.vector, int, jsonb) SET hnsw.ef_search = 200;
  IF current_setting('hnsw.iterative_scan', true) IS NOT NULL THEN
    ALTER FUNCTION adyton.find(int, adyton_ext.vector, int, jsonb) SET hnsw.iterative_scan = 'strict_order';
  END IF;
END $$;

-- What a principal has had of a collection, before it gets more: NULL, or why not.
CREATE FUNCTION adyton.too_much(g adyton.issued) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s adyton.space;
  lately bigint;
  ever bigint;
BEGIN
  SELECT * INTO s FROM adyton.space WHERE space = g.space;
  SELECT coalesce(sum(passages) FILTER (WHERE hour >= date_trunc('hour', clock_timestamp())), 0), coalesce(sum(new), 0)
    INTO lately, ever FROM adyton.volume WHERE principal = g.principal AND space = g.space;
  IF lately + g.most > s.most_per_hour THEN RETURN 'rate'; END IF;
  IF ever + g.most > s.most_share * s.passages THEN RETURN 'coverage'; END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION adyton.count(g adyton.issued, ids bytea[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE fresh int;
BEGIN
  INSERT INTO adyton.reached SELECT g.principal, g.space, f FROM unnest(ids) AS f ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS fresh = ROW_COUNT;
  INSERT INTO adyton.volume AS v
    VALUES (g.principal, g.space, date_trunc('hour', clock_timestamp()), 1, cardinality(ids), fresh)
    ON CONFLICT (principal, space, hour) DO UPDATE SET lookups = v.lookups + 1,
      passages = v.passages + cardinality(ids), new = v.new + fresh;
END $$;

-- Step one of a look-up. 'registered', or 'too much' if the principal has had enough: then nothing can be opened, and the
-- chain says so. Whatever else is wrong is an error.
CREATE FUNCTION adyton_api.register(grant_text text, mac bytea, query real[]) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  g adyton.issued := adyton.verified(grant_text, mac);
  asked adyton_ext.vector;
  ids bytea[];
  why text;
BEGIN
  IF g.kind <> 'lookup' OR cardinality(query) IS DISTINCT FROM 384 OR array_ndims(query) <> 1
    OR array_position(query, NULL) IS NOT NULL
    OR array_position(query, 'NaN') IS NOT NULL OR array_position(query, 'Infinity') IS NOT NULL
    OR array_position(query, '-Infinity') IS NOT NULL THEN
    PERFORM adyton.refuse('AD004');
  END IF;
  asked := query::adyton_ext.vector;
  IF NOT adyton.same(sha256(adyton_ext.vector_send(asked)), g.digest) THEN PERFORM adyton.refuse('AD004'); END IF;
  PERFORM adyton.keep(g);
  why := adyton.too_much(g);
  IF why IS NOT NULL THEN
    UPDATE adyton.issued SET opened_at = clock_timestamp() WHERE id = g.id;
    PERFORM adyton.record('refused', g, '{}', why);
    RETURN 'too much';
  END IF;
  INSERT INTO adyton.granted SELECT g.id, f.rank, g.space, f.passage, f.score
    FROM adyton.find(g.space, asked, g.most, g.rules) AS f;
  ids := ARRAY(SELECT x.passage FROM adyton.granted x WHERE x.issued = g.id ORDER BY x.rank);
  PERFORM adyton.count(g, ids);
  PERFORM adyton.record('registered', g, ids, '');
  RETURN 'registered';
END $$;

-- Opens a registered grant for this transaction. Not callable from outside but through the two doors below.
CREATE FUNCTION adyton.open_as(wanted text, name bytea) RETURNS adyton.issued LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  g adyton.issued;
  since timestamptz;
BEGIN
  SELECT * INTO g FROM adyton.issued WHERE id = name FOR UPDATE;
  SELECT backend_start INTO since FROM pg_stat_get_activity(pg_backend_pid());
  IF g.id IS NULL OR g.kind <> wanted OR g.backend <> pg_backend_pid() OR g.started IS DISTINCT FROM since THEN
    PERFORM adyton.refuse('AD001');
  END IF;
  IF g.registered = pg_current_xact_id() THEN PERFORM adyton.refuse('AD007'); END IF;
  IF g.opened_at IS NOT NULL THEN PERFORM adyton.refuse('AD003'); END IF;
  IF g.expires <= clock_timestamp() THEN PERFORM adyton.refuse('AD002'); END IF;
  UPDATE adyton.issued SET opened_at = clock_timestamp() WHERE id = g.id;
  INSERT INTO adyton.opened VALUES (pg_backend_pid(), pg_current_xact_id(), g.id) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN PERFORM adyton.refuse('AD003'); END IF;
  RETURN g;
END $$;

-- Step two of a look-up.
CREATE FUNCTION adyton_api.open(name bytea) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE g adyton.issued := adyton.open_as('lookup', name);
BEGIN
  PERFORM adyton.record('opened', g, '{}', '');
END $$;

-- Step one of an ingest.
CREATE FUNCTION adyton_api.register_ingest(grant_text text, mac bytea) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE g adyton.issued := adyton.verified(grant_text, mac);
BEGIN
  IF g.kind <> 'ingest' THEN PERFORM adyton.refuse('AD004'); END IF;
  PERFORM adyton.keep(g);
  PERFORM adyton.record('registered', g, '{}', '');
  RETURN 'registered';
END $$;

CREATE FUNCTION adyton.ingested(name bytea, ids bytea[], before bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE g adyton.issued;
BEGIN
  SELECT * INTO g FROM adyton.issued WHERE id = name;
  UPDATE adyton.space SET passages = passages + cardinality(ids) - before WHERE space = g.space;
  PERFORM adyton.record('ingested', g, ids, '');
END $$;

-- Step two of an ingest: all passages of one document, in place of those that were there.
CREATE FUNCTION adyton_api.ingest(name bytea, payload text) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  g adyton.issued := adyton.open_as('ingest', name);
  read jsonb;
  doc text;
  ids bytea[] := '{}';
  one jsonb;
  id bytea;
  before bigint;
BEGIN
  IF octet_length(payload) > 16777216 OR NOT sha256(convert_to(payload, 'UTF8')) = g.digest THEN
    PERFORM adyton.refuse('AD008');
  END IF;
  read := payload::jsonb;
  doc := read->>'document';
  IF jsonb_array_length(read->'passages') > g.most THEN PERFORM adyton.refuse('AD008'); END IF;
  DELETE FROM adyton.field f USING adyton.passage p
    WHERE f.space = g.space AND p.space = g.space AND p.document = doc AND f.passage = p.id;
  DELETE FROM adyton.passage p WHERE p.space = g.space AND p.document = doc;
  GET DIAGNOSTICS before = ROW_COUNT;
  DELETE FROM adyton.document d WHERE d.space = g.space AND d.document = doc;
  INSERT INTO adyton.document SELECT g.space, doc, read->>'title',
    greatest((read->>'classification')::smallint, s.classification) FROM adyton.space s WHERE s.space = g.space;
  FOR one IN SELECT jsonb_array_elements(read->'passages') LOOP
    id := substr(sha256(sha256(convert_to(g.tenant, 'UTF8')) || sha256(convert_to(g.collection, 'UTF8'))
      || sha256(convert_to(doc, 'UTF8')) || int4send((one->>'ordinal')::int)), 1, 16);
    INSERT INTO adyton.passage VALUES (g.space, id, doc, (one->>'ordinal')::int, one->>'text',
      (one->>'vector')::adyton_ext.vector);
    INSERT INTO adyton.field SELECT g.space, id, key, value FROM jsonb_each_text(one->'fields');
    ids := ids || id;
  END LOOP;
  PERFORM adyton.ingested(name, ids, before);
  RETURN cardinality(ids);
END $$;

-- Deletes what has expired; its entries stay. For the operator's timer.
CREATE FUNCTION adyton.forget() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM adyton.granted x USING adyton.issued i WHERE x.issued = i.id AND i.expires < now() - interval '1 hour';
  DELETE FROM adyton.opened x USING adyton.issued i WHERE x.issued = i.id AND i.expires < now() - interval '1 hour';
  DELETE FROM adyton.issued WHERE expires < now() - interval '1 hour';
$$;

-- Sets the key, for the operator: 32 bytes that the sentinel has, too.
CREATE FUNCTION adyton.set_key(key bytea) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  padded bytea := key || decode(repeat('00', 32), 'hex');
  inner_mixed bytea := padded;
  outer_mixed bytea := padded;
BEGIN
  IF octet_length(key) IS DISTINCT FROM 32 THEN RAISE EXCEPTION 'adyton: the key has 32 bytes'; END IF;
  FOR i IN 0..63 LOOP
    inner_mixed := set_byte(inner_mixed, i, get_byte(padded, i) # 54);
    outer_mixed := set_byte(outer_mixed, i, get_byte(padded, i) # 92);
  END LOOP;
  INSERT INTO adyton.secret (inner_pad, outer_pad) VALUES (inner_mixed, outer_mixed)
    ON CONFLICT (one) DO UPDATE SET inner_pad = inner_mixed, outer_pad = outer_mixed;
END $$;
