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

CREATE TABLE "serial_allocation" (
    "transaction_id" TEXT NOT NULL,
    "request" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "serial_allocation_pkey" PRIMARY KEY ("transaction_id")
);

CREATE TABLE "series" (
    "name" TEXT NOT NULL,
    "last" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "series_pkey" PRIMARY KEY ("name")
);

CREATE TABLE "series_counter" (
    "name" TEXT NOT NULL,
    "period" TEXT NOT NULL DEFAULT '',
    "last" BIGINT NOT NULL,

    CONSTRAINT "series_counter_pkey" PRIMARY KEY ("name","period")
);

CREATE TABLE "series_number" (
    "series" TEXT NOT NULL,
    "transaction_id" TEXT NOT NULL,
    "period" TEXT NOT NULL,
    "value" BIGINT NOT NULL,
    "text" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "series_number_pkey" PRIMARY KEY ("series","transaction_id")
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
CREATE UNIQUE INDEX "serial_item_id_number_key" ON "serial"("item_id", "number");
CREATE INDEX "serial_transaction_id_item_id_number_idx" ON "serial"("transaction_id", "item_id", "number");
CREATE INDEX "serial_free" ON "serial"("item_id", "id") WHERE "transaction_id" IS NULL;
CREATE UNIQUE INDEX "series_number_series_period_value_key" ON "series_number"("series", "period", "value");
CREATE UNIQUE INDEX "document_transaction_id_key" ON "document"("transaction_id");
CREATE UNIQUE INDEX "document_series_number_key" ON "document"("series", "number");

ALTER TABLE "movement" ADD CONSTRAINT "movement_item_id_fkey" FOREIGN KEY ("item_id") REFERENCES "item"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "serial" ADD CONSTRAINT "serial_item_id_fkey" FOREIGN KEY ("item_id") REFERENCES "item"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
