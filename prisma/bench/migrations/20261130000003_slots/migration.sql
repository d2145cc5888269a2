-- CreateTable
CREATE TABLE "slot_stock" (
    "item_id" INTEGER NOT NULL,
    "slot" INTEGER NOT NULL DEFAULT 0,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "version" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "slot_stock_pkey" PRIMARY KEY ("item_id","slot")
);

-- CreateTable
CREATE TABLE "slot_stock_movement" (
    "transaction_id" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "item_id" INTEGER NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,

    CONSTRAINT "slot_stock_movement_pkey" PRIMARY KEY ("transaction_id","line")
);
