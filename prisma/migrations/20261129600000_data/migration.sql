-- CreateEnum
CREATE TYPE "rack reason" AS ENUM ('SALE', 'thrown away');

-- CreateEnum
CREATE TYPE "RackState" AS ENUM ('HELD', 'active', 'released', 'fulfilled', 'expired');

-- CreateTable
CREATE TABLE "Rack" (
    "code" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "reserved" INTEGER NOT NULL DEFAULT 0,
    "minimum" INTEGER DEFAULT 0,

    CONSTRAINT "Bin_pkey" PRIMARY KEY ("code")
);

-- CreateTable
CREATE TABLE "RackMovement" (
    "id" TEXT NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "the order" INTEGER NOT NULL,
    "reason" "rack reason" NOT NULL DEFAULT 'SALE',
    "userId" UUID,
    "unit cost" DECIMAL(12,4),
    "details" JSONB,
    "tags" TEXT[],
    "seenAt" TIMESTAMPTZ(0),
    "number" SERIAL NOT NULL,
    "updatedAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "RackMovement_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "RackReservation" (
    "id" SERIAL NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "state" "RackState" NOT NULL DEFAULT 'HELD',
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,
    "basketId" TEXT,
    "note" TEXT,

    CONSTRAINT "RackReservation_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "RackMovement_transactionId_line_key" ON "RackMovement"("transactionId", "line");

-- CreateIndex
CREATE INDEX "RackMovement_code_idx" ON "RackMovement"("code");

-- CreateIndex
CREATE UNIQUE INDEX "RackReservation_transactionId_line_key" ON "RackReservation"("transactionId", "line");

-- AddForeignKey
ALTER TABLE "RackMovement" ADD CONSTRAINT "RackMovement_code_fkey" FOREIGN KEY ("code") REFERENCES "Rack"("code") ON DELETE RESTRICT ON UPDATE CASCADE;
