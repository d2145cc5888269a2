-- CreateTable
CREATE TABLE "Stock" (
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "reserved" INTEGER NOT NULL DEFAULT 0,
    "minimum" INTEGER DEFAULT 0,
    "version" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "Stock_pkey" PRIMARY KEY ("productId","warehouse")
);

-- CreateTable
CREATE TABLE "StockMovement" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "reverses" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "StockMovement_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateTable
CREATE TABLE "StockReservation" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "StockReservation_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateIndex
CREATE INDEX "StockMovement_productId_warehouse_idx" ON "StockMovement"("productId", "warehouse");

-- CreateIndex
CREATE INDEX "StockMovement_applied_idx" ON "StockMovement"("applied");

-- CreateIndex
CREATE INDEX "StockMovement_reverses_idx" ON "StockMovement"("reverses");

-- CreateIndex
CREATE INDEX "StockReservation_productId_warehouse_state_idx" ON "StockReservation"("productId", "warehouse", "state");

-- CreateTable
CREATE TABLE "raw material" (
    "the code" VARCHAR(20) NOT NULL,
    "on hand" DECIMAL(14,3) NOT NULL DEFAULT 0,
    "order" DECIMAL(14,3) NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL DEFAULT 0,
    "updated at" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "raw material_pkey" PRIMARY KEY ("the code")
);

-- CreateTable
CREATE TABLE "raw material movement" (
    "id" BIGSERIAL NOT NULL,
    "the reference" TEXT NOT NULL,
    "position" INTEGER NOT NULL,
    "material" VARCHAR(20) NOT NULL,
    "change of" DECIMAL(14,3) NOT NULL,
    "is applied" BOOLEAN NOT NULL DEFAULT true,
    "is refused" BOOLEAN NOT NULL DEFAULT false,

    CONSTRAINT "raw material movement_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "raw material movement_the reference_position_key" ON "raw material movement"("the reference", "position");

-- CreateTable
CREATE TABLE "Account" (
    "id" UUID NOT NULL,
    "balance" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "Account_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "AccountEntry" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "accountId" UUID NOT NULL,
    "amount" BIGINT NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,

    CONSTRAINT "AccountEntry_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateTable
CREATE TABLE "ProductMovement" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "quantity" INTEGER NOT NULL,

    CONSTRAINT "ProductMovement_pkey" PRIMARY KEY ("transactionId","line")
);

-- AddForeignKey
ALTER TABLE "ProductMovement" ADD CONSTRAINT "ProductMovement_productId_fkey" FOREIGN KEY ("productId") REFERENCES "Product"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
