-- CreateTable
CREATE TABLE "LotStock" (
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "lot" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "reserved" INTEGER NOT NULL DEFAULT 0,
    "minimum" INTEGER DEFAULT 0,
    "expiresAt" TIMESTAMPTZ(3),
    "receivedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "LotStock_pkey" PRIMARY KEY ("productId","warehouse","lot")
);

-- CreateTable
CREATE TABLE "LotMovement" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "lot" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "orderId" INTEGER,

    CONSTRAINT "LotMovement_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateTable
CREATE TABLE "LotReservation" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "lot" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "LotReservation_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateTable
CREATE TABLE "CompanyLotStock" (
    "companyId" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "lot" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "reserved" INTEGER NOT NULL DEFAULT 0,
    "minimum" INTEGER DEFAULT 0,
    "expiresAt" TIMESTAMPTZ(3),
    "receivedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "CompanyLotStock_pkey" PRIMARY KEY ("companyId","productId","warehouse","lot")
);

-- CreateTable
CREATE TABLE "CompanyLotMovement" (
    "companyId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "lot" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "orderId" INTEGER,

    CONSTRAINT "CompanyLotMovement_pkey" PRIMARY KEY ("companyId","transactionId","line")
);

-- CreateTable
CREATE TABLE "CompanyLotReservation" (
    "companyId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "lot" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "CompanyLotReservation_pkey" PRIMARY KEY ("companyId","transactionId","line")
);

-- CreateTable
CREATE TABLE "Barrel" (
    "id" TEXT NOT NULL,
    "code" TEXT NOT NULL,
    "label" TEXT NOT NULL,
    "onHand" DECIMAL(12,3) NOT NULL DEFAULT 0,
    "minimum" DECIMAL(12,3) DEFAULT 0,
    "opening" DECIMAL(12,3) NOT NULL DEFAULT 0,
    "updatedAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "Barrel_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "BarrelMovement" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" DECIMAL(12,3) NOT NULL,

    CONSTRAINT "BarrelMovement_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateIndex
CREATE INDEX "LotMovement_productId_warehouse_lot_idx" ON "LotMovement"("productId", "warehouse", "lot");

-- CreateIndex
CREATE INDEX "LotMovement_applied_idx" ON "LotMovement"("applied");

-- CreateIndex
CREATE INDEX "LotReservation_productId_warehouse_lot_state_idx" ON "LotReservation"("productId", "warehouse", "lot", "state");

-- CreateIndex
CREATE INDEX "CompanyLotMovement_companyId_productId_warehouse_lot_idx" ON "CompanyLotMovement"("companyId", "productId", "warehouse", "lot");

-- CreateIndex
CREATE INDEX "CompanyLotMovement_companyId_applied_idx" ON "CompanyLotMovement"("companyId", "applied");

-- CreateIndex
CREATE INDEX "CompanyLotReservation_companyId_productId_warehouse_lot_state_idx" ON "CompanyLotReservation"("companyId", "productId", "warehouse", "lot", "state");

-- CreateIndex
CREATE UNIQUE INDEX "Barrel_code_key" ON "Barrel"("code");

-- CreateIndex
CREATE INDEX "BarrelMovement_code_idx" ON "BarrelMovement"("code");
