-- Distributes the tests' tables over a Citus cluster: ENGINE_SETUP=test/support/citus.sql.
--
-- ENGINE_URL is the coordinator, as a superuser. Alone it keeps all shards itself. Where its setting `tests.workers` names
-- others ('host:port, host:port'), these keep them: the database of ENGINE_URL knows them (citus_add_node), and
-- `citus.enable_create_database_propagation` is on, so that each of them gets and loses each database, too.
CREATE EXTENSION IF NOT EXISTS citus;
CREATE EXTENSION IF NOT EXISTS dblink;
COMMIT;

CREATE TEMPORARY TABLE worker AS
SELECT split_part(trim(name), ':', 1) AS host, split_part(trim(name), ':', 2)::int AS port
FROM regexp_split_to_table(nullif(current_setting('tests.workers', true), ''), ',') AS name;

SELECT dblink_exec(format('host=%s port=%s user=%s dbname=%s', host, port, current_user, current_database()), 'CREATE EXTENSION IF NOT EXISTS citus')
FROM worker;
SELECT citus_set_coordinator_host('localhost', current_setting('port')::int);
SELECT citus_add_node(host, port) FROM worker;
SELECT citus_set_node_property('localhost', current_setting('port')::int, 'shouldhaveshards', NOT EXISTS (SELECT FROM worker));
COMMIT;

-- A table of companies, or of depots, is distributed by them, so that one statement of a company has all of its rows in
-- one place. A unique key without the company cannot be kept over shards, and a foreign key to other tables neither: such
-- a table stays where it is, on the coordinator.
DO $$
DECLARE
  of_companies record;
BEGIN
  SET LOCAL citus.shard_count = 4;
  FOR of_companies IN
    SELECT c.oid::regclass AS name, a.attname AS key
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname IN ('companyId', 'depotId')
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique AND a.attnum <> ALL (i.indkey::int2[]))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.contype = 'f' AND c.oid IN (k.conrelid, k.confrelid))
  LOOP
    PERFORM create_distributed_table(of_companies.name, of_companies.key);
  END LOOP;
END $$;

-- Tables without a company whose unique keys all have one column in common are distributed by it.
DO $$
BEGIN
  SET LOCAL citus.shard_count = 4;
  PERFORM create_distributed_table('"IdempotencyKey"', 'key');
  PERFORM create_distributed_table('"Series"', 'name', colocate_with => 'none');
  PERFORM create_distributed_table('"SeriesNumber"', 'series', colocate_with => '"Series"');
  PERFORM create_distributed_table('"SeriesVoid"', 'series', colocate_with => '"Series"');
  PERFORM create_distributed_table('"SeriesFree"', 'series', colocate_with => '"Series"');
  PERFORM create_distributed_table('"Document"', 'id');
END $$;
