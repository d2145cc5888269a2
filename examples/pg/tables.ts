/** The tables of the shop, as a program without Prisma calls them. */
export const TABLES = `
CREATE SCHEMA shop;
CREATE TABLE shop.stock (
  product_id integer PRIMARY KEY,
  on_hand integer NOT NULL DEFAULT 0
);
CREATE TABLE shop.stock_movement (
  transaction_id text NOT NULL,
  line integer NOT NULL,
  product_id integer NOT NULL REFERENCES shop.stock,
  quantity integer NOT NULL,
  PRIMARY KEY (transaction_id, line)
);
CREATE TABLE shop.orders (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer text NOT NULL
);
CREATE TABLE shop.once_only (
  scope text NOT NULL,
  key text NOT NULL,
  request text NOT NULL,
  answer text,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (scope, key)
)`
