-- CreateTable
CREATE TABLE "CompanyStock" (
    "companyId" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "reserved" INTEGER NOT NULL DEFAULT 0,
    "minimum" INTEGER DEFAULT 0,
    "version" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "CompanyStock_pkey" PRIMARY KEY ("companyId","productId","warehouse")
);

-- CreateTable
CREATE TABLE "CompanyMovement" (
    "companyId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "CompanyMovement_pkey" PRIMARY KEY ("companyId","transactionId","line")
);

-- CreateTable
CREATE TABLE "CompanyReservation" (
    "companyId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "CompanyReservation_pkey" PRIMARY KEY ("companyId","transactionId","line")
);

-- CreateTable
CREATE TABLE "CompanyCredit" (
    "companyId" INTEGER NOT NULL,
    "customerId" UUID NOT NULL,
    "balance" BIGINT NOT NULL DEFAULT 0,
    "minimum" BIGINT DEFAULT 0,

    CONSTRAINT "CompanyCredit_pkey" PRIMARY KEY ("companyId","customerId")
);

-- CreateTable
CREATE TABLE "CompanyCreditEntry" (
    "companyId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "customerId" UUID NOT NULL,
    "amount" BIGINT NOT NULL,
    "isApplied" BOOLEAN NOT NULL DEFAULT true,
    "isRefused" BOOLEAN NOT NULL DEFAULT false,

    CONSTRAINT "CompanyCreditEntry_pkey" PRIMARY KEY ("companyId","transactionId","line")
);

-- CreateIndex
CREATE INDEX "CompanyMovement_companyId_productId_warehouse_idx" ON "CompanyMovement"("companyId", "productId", "warehouse");

-- CreateIndex
CREATE INDEX "CompanyMovement_companyId_applied_idx" ON "CompanyMovement"("companyId", "applied");

-- CreateIndex
CREATE INDEX "CompanyReservation_companyId_productId_warehouse_state_idx" ON "CompanyReservation"("companyId", "productId", "warehouse", "state");

-- CreateIndex
CREATE INDEX "CompanyCreditEntry_companyId_customerId_idx" ON "CompanyCreditEntry"("companyId", "customerId");
