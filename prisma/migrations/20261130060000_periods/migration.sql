-- CreateTable
CREATE TABLE "DepotStock" (
    "companyId" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "onHand" DECIMAL(14,3) NOT NULL DEFAULT 0,
    "reserved" DECIMAL(14,3) NOT NULL DEFAULT 0,
    "minimum" DECIMAL(14,3) DEFAULT 0,
    "opening" DECIMAL(14,3) NOT NULL DEFAULT 0,
    "closedUntil" DATE,

    CONSTRAINT "DepotStock_pkey" PRIMARY KEY ("companyId","code")
);

-- CreateTable
CREATE TABLE "DepotMovement" (
    "companyId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" DECIMAL(14,3) NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "reverses" TEXT,
    "date" DATE NOT NULL,

    CONSTRAINT "DepotMovement_pkey" PRIMARY KEY ("companyId","transactionId","line")
);

-- CreateTable
CREATE TABLE "DepotReservation" (
    "companyId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" DECIMAL(14,3) NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "expiresAt" TIMESTAMPTZ(3),
    "updatedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "DepotReservation_pkey" PRIMARY KEY ("companyId","transactionId","line")
);

-- CreateIndex
CREATE INDEX "DepotMovement_companyId_code_idx" ON "DepotMovement"("companyId", "code");

-- CreateIndex
CREATE INDEX "DepotMovement_companyId_applied_idx" ON "DepotMovement"("companyId", "applied");

-- CreateIndex
CREATE INDEX "DepotMovement_companyId_reverses_idx" ON "DepotMovement"("companyId", "reverses");

-- CreateIndex
CREATE INDEX "DepotMovement_companyId_date_idx" ON "DepotMovement"("companyId", "date");

-- CreateIndex
CREATE INDEX "DepotReservation_companyId_code_state_idx" ON "DepotReservation"("companyId", "code", "state");
