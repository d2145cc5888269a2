CREATE TABLE "item" (
    "id" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "stock" INTEGER NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "item_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "movement" (
    "id" BIGSERIAL NOT NULL,
    "transaction_id" TEXT NOT NULL,
    "line" INTEGER NOT NULL DEFAULT 0,
    "item_id" INTEGER NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,

    CONSTRAINT "movement_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "payment" (
    "id" BIGSERIAL NOT NULL,
    "transaction_id" TEXT NOT NULL,
    "amount" DECIMAL(12,2) NOT NULL,
    "currency" TEXT NOT NULL DEFAULT 'EUR',

    CONSTRAINT "payment_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "serial" (
    "id" SERIAL NOT NULL,
    "number" TEXT NOT NULL,
    "item_id" INTEGER NOT NULL,
    "transaction_id" TEXT,

    CONSTRAINT "serial_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "serial_claim" (
    "transaction_id" TEXT NOT NULL,
    "item_id" INTEGER NOT NULL,
    "count" INTEGER NOT NULL,

    CONSTRAINT "serial_claim_pkey" PRIMARY KEY ("transaction_id")
);

CREATE TABLE "series" (
    "name" TEXT NOT NULL,
    "last" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "series_pkey" PRIMARY KEY ("name")
);

CREATE TABLE "document" (
    "id" BIGSERIAL NOT NULL,
    "series" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "transaction_id" TEXT NOT NULL,

    CONSTRAINT "document_pkey" PRIMARY KEY ("id")
);

CREATE UNIQUE INDEX "movement_transaction_id_line_key" ON "movement"("transaction_id", "line");
CREATE UNIQUE INDEX "payment_transaction_id_key" ON "payment"("transaction_id");
CREATE UNIQUE INDEX "serial_number_key" ON "serial"("number");
CREATE INDEX "serial_transaction_id_idx" ON "serial"("transaction_id");
CREATE INDEX "serial_free" ON "serial"("item_id", "id") WHERE "transaction_id" IS NULL;
CREATE UNIQUE INDEX "document_transaction_id_key" ON "document"("transaction_id");
CREATE UNIQUE INDEX "document_series_number_key" ON "document"("series", "number");

ALTER TABLE "movement" ADD CONSTRAINT "movement_item_id_fkey" FOREIGN KEY ("item_id") REFERENCES "item"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "serial" ADD CONSTRAINT "serial_item_id_fkey" FOREIGN KEY ("item_id") REFERENCES "item"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
