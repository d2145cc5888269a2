-- CreateEnum
CREATE TYPE "PalletState" AS ENUM ('active', 'released', 'fulfilled', 'expired');

-- CreateTable
CREATE TABLE "Pallet" (
    "code" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "reserved" INTEGER NOT NULL DEFAULT 0,
    "minimum" INTEGER DEFAULT 0,
    "maximum" INTEGER,
    "version" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "Pallet_pkey" PRIMARY KEY ("code")
);

-- CreateTable
CREATE TABLE "PalletMovement" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "refused" BOOLEAN NOT NULL DEFAULT false,
    "reverses" TEXT,
    "note" TEXT,

    CONSTRAINT "PalletMovement_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateTable
CREATE TABLE "PalletReservation" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "expiresAt" TIMESTAMPTZ(3),
    "fulfilled" INTEGER NOT NULL DEFAULT 0,
    "original" INTEGER,
    "note" TEXT,

    CONSTRAINT "PalletReservation_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateTable
CREATE TABLE "DepotPallet" (
    "depotId" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "onHand" DECIMAL(12,3) NOT NULL DEFAULT 0,
    "reserved" DECIMAL(12,3) NOT NULL DEFAULT 0,
    "at most" DECIMAL(12,3),

    CONSTRAINT "DepotPallet_pkey" PRIMARY KEY ("depotId","code")
);

-- CreateTable
CREATE TABLE "DepotPalletMovement" (
    "depotId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" DECIMAL(12,3) NOT NULL,

    CONSTRAINT "DepotPalletMovement_pkey" PRIMARY KEY ("depotId","transactionId","line")
);

-- CreateTable
CREATE TABLE "DepotPalletReservation" (
    "depotId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" DECIMAL(12,3) NOT NULL,
    "state" "PalletState" NOT NULL,
    "until" TIMESTAMP(3),
    "taken of it" DECIMAL(12,3) NOT NULL,
    "ordered at first" DECIMAL(12,3),

    CONSTRAINT "DepotPalletReservation_pkey" PRIMARY KEY ("depotId","transactionId","line")
);

-- CreateIndex
CREATE INDEX "PalletMovement_code_idx" ON "PalletMovement"("code");

-- CreateIndex
CREATE INDEX "PalletMovement_reverses_idx" ON "PalletMovement"("reverses");

-- CreateIndex
CREATE INDEX "PalletReservation_code_state_idx" ON "PalletReservation"("code", "state");

-- CreateIndex
CREATE INDEX "DepotPalletMovement_depotId_code_idx" ON "DepotPalletMovement"("depotId", "code");

-- CreateIndex
CREATE INDEX "DepotPalletReservation_depotId_code_state_idx" ON "DepotPalletReservation"("depotId", "code", "state");
