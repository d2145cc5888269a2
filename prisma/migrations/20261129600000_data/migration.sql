-- CreateEnum
CREATE TYPE "bin reason" AS ENUM ('SALE', 'thrown away');

-- CreateEnum
CREATE TYPE "BinState" AS ENUM ('HELD', 'active', 'released', 'fulfilled', 'expired');

-- CreateTable
CREATE TABLE "Bin" (
    "code" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "reserved" INTEGER NOT NULL DEFAULT 0,
    "minimum" INTEGER DEFAULT 0,

    CONSTRAINT "Bin_pkey" PRIMARY KEY ("code")
);

-- CreateTable
CREATE TABLE "BinMovement" (
    "id" TEXT NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "the order" INTEGER NOT NULL,
    "reason" "bin reason" NOT NULL DEFAULT 'SALE',
    "userId" UUID,
    "unit cost" DECIMAL(12,4),
    "details" JSONB,
    "tags" TEXT[],
    "seenAt" TIMESTAMPTZ(0),
    "number" SERIAL NOT NULL,
    "updatedAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "BinMovement_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "BinReservation" (
    "id" SERIAL NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "state" "BinState" NOT NULL DEFAULT 'HELD',
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,
    "basketId" TEXT,
    "note" TEXT,

    CONSTRAINT "BinReservation_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "BinMovement_transactionId_line_key" ON "BinMovement"("transactionId", "line");

-- CreateIndex
CREATE INDEX "BinMovement_code_idx" ON "BinMovement"("code");

-- CreateIndex
CREATE UNIQUE INDEX "BinReservation_transactionId_line_key" ON "BinReservation"("transactionId", "line");

-- AddForeignKey
ALTER TABLE "BinMovement" ADD CONSTRAINT "BinMovement_code_fkey" FOREIGN KEY ("code") REFERENCES "Bin"("code") ON DELETE RESTRICT ON UPDATE CASCADE;
