-- For the operator: collections.

-- Makes a collection of a tenant: its partitions, its index, and its data role if that is new.
CREATE FUNCTION adyton.add_collection(
  tenant text, collection text, data_role text, classification int DEFAULT 1, sensitive text[] DEFAULT '{}'
) RETURNS int LANGUAGE plpgsql SET search_path = pg_catalog, adyton_ext, pg_temp AS $$
DECLARE
  made int;
  data text := 'adyton_data_' || data_role;
  part text;
BEGIN
  IF data_role !~ '^[a-z0-9_]{1,40}$' OR collection !~ '^[A-Za-z0-9_.-]{1,40}$' THEN
    RAISE EXCEPTION 'adyton: a data role has 1 to 40 of a-z, 0-9 and _; a collection also A-Z, - and .';
  END IF;
  INSERT INTO adyton.space (tenant, collection, data_role, classification, sensitive)
    VALUES (tenant, collection, data_role, classification, sensitive) RETURNING space INTO made;
  FOREACH part IN ARRAY ARRAY['passage', 'field'] LOOP
    EXECUTE format('CREATE TABLE adyton.%s_%s PARTITION OF adyton.%s FOR VALUES IN (%s)', part, made, part, made);
    EXECUTE format('ALTER TABLE adyton.%s_%s OWNER TO adyton_owner', part, made);
    EXECUTE format('ALTER TABLE adyton.%s_%s ENABLE ROW LEVEL SECURITY', part, made);
    EXECUTE format('ALTER TABLE adyton.%s_%s FORCE ROW LEVEL SECURITY', part, made);
  END LOOP;
  EXECUTE format('CREATE INDEX ON adyton.passage_%s USING hnsw (embedding vector_cosine_ops)', made);
  BEGIN
    EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', data);
  EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- roles are of the whole server: another database may have made it
  END;
  EXECUTE format('GRANT USAGE ON SCHEMA adyton_api TO %I', data);
  EXECUTE format('GRANT SELECT ON adyton_api.passages TO %I', data);
  EXECUTE format('GRANT EXECUTE ON FUNCTION adyton_api.hide(text, text[], text[]) TO %I', data);
  EXECUTE format('GRANT %I TO adyton_worker', data);
  RETURN made;
END $$;
REVOKE ALL ON FUNCTION adyton.add_collection(text, text, text, int, text[]) FROM PUBLIC;

-- How much one principal may reach of a collection: passages in an hour, and what part of all of them ever. NULL: no limit.
CREATE FUNCTION adyton.limit_volume(of_tenant text, of_collection text, per_hour int, share real) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE adyton.space SET most_per_hour = per_hour, most_share = share
    WHERE tenant = of_tenant AND collection = of_collection
$$;
REVOKE ALL ON FUNCTION adyton.limit_volume(text, text, int, real) FROM PUBLIC;
