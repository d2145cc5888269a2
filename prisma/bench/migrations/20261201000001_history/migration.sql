-- CreateTable
CREATE TABLE "history_stock" (
    "item_id" INTEGER NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "sequence" BIGINT NOT NULL DEFAULT 0,
    "version" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "history_stock_pkey" PRIMARY KEY ("item_id")
);

-- CreateTable
CREATE TABLE "history_stock_movement" (
    "transaction_id" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "item_id" INTEGER NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "sequence" BIGINT,
    "balance" INTEGER,
    "at" TIMESTAMPTZ(3),

    CONSTRAINT "history_stock_movement_pkey" PRIMARY KEY ("transaction_id","line")
);

-- CreateIndex
CREATE INDEX "history_stock_movement_item_id_sequence_idx" ON "history_stock_movement"("item_id", "sequence");
