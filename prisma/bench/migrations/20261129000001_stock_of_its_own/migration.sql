CREATE TABLE "stock" (
    "item_id" INTEGER NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "version" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "stock_pkey" PRIMARY KEY ("item_id")
);

CREATE TABLE "stock_movement" (
    "transaction_id" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "item_id" INTEGER NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,

    CONSTRAINT "stock_movement_pkey" PRIMARY KEY ("transaction_id", "line")
);
