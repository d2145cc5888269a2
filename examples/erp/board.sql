-- The live stock board: each transaction that changes what it shows says so at its commit. Run it as a migration.

CREATE OR REPLACE FUNCTION tell_stock_board() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('stock_board', json_build_object(
    'productId', coalesce(NEW."productId", OLD."productId"),
    'warehouse', coalesce(NEW.warehouse, OLD.warehouse),
    'at', extract(epoch FROM clock_timestamp()) * 1000
  )::text);
  RETURN NULL;
END $$;

-- Deferred, so that they run in the commit, and their time is that of the commit.
DROP TRIGGER IF EXISTS stock_board ON "Stock";
CREATE CONSTRAINT TRIGGER stock_board AFTER INSERT OR UPDATE OR DELETE ON "Stock"
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell_stock_board();

-- A movement that is applied changes its row of "Stock" in the same transaction: a batch tells once for each item.
DROP TRIGGER IF EXISTS stock_board ON "StockMovement";
CREATE CONSTRAINT TRIGGER stock_board AFTER INSERT ON "StockMovement"
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NOT NEW.applied) EXECUTE FUNCTION tell_stock_board();

-- For the last movements. On a table in use, make it beforehand with CREATE INDEX CONCURRENTLY.
CREATE INDEX IF NOT EXISTS "StockMovement_createdAt_idx" ON "StockMovement" ("createdAt");
