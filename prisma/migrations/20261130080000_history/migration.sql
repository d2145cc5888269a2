-- CreateTable
CREATE TABLE "Silo" (
    "code" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "reserved" INTEGER NOT NULL DEFAULT 0,
    "minimum" INTEGER DEFAULT 0,
    "maximum" INTEGER,
    "sequence" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "Silo_pkey" PRIMARY KEY ("code")
);

-- CreateTable
CREATE TABLE "SiloMovement" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "refused" BOOLEAN NOT NULL DEFAULT false,
    "reverses" TEXT,
    "sequence" BIGINT,
    "balance" INTEGER,
    "at" TIMESTAMPTZ(3),
    "note" TEXT,

    CONSTRAINT "SiloMovement_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateTable
CREATE TABLE "SiloReservation" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "expiresAt" TIMESTAMPTZ(3),
    "fulfilled" INTEGER NOT NULL DEFAULT 0,
    "original" INTEGER,

    CONSTRAINT "SiloReservation_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateTable
CREATE TABLE "DepotSilo" (
    "depotId" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "lot" TEXT NOT NULL,
    "onHand" DECIMAL(12,3) NOT NULL DEFAULT 0,
    "reserved" DECIMAL(12,3) NOT NULL DEFAULT 0,
    "how many" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "DepotSilo_pkey" PRIMARY KEY ("depotId","code","lot")
);

-- CreateTable
CREATE TABLE "DepotSiloMovement" (
    "depotId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "lot" TEXT NOT NULL,
    "quantity" DECIMAL(12,3) NOT NULL,
    "isApplied" BOOLEAN NOT NULL DEFAULT true,
    "which" INTEGER,
    "what is left" DECIMAL(12,3),
    "since when" TIMESTAMP(3),

    CONSTRAINT "DepotSiloMovement_pkey" PRIMARY KEY ("depotId","transactionId","line")
);

-- CreateTable
CREATE TABLE "DepotSiloReservation" (
    "depotId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "lot" TEXT NOT NULL,
    "quantity" DECIMAL(12,3) NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "until" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "DepotSiloReservation_pkey" PRIMARY KEY ("depotId","transactionId","line")
);

-- CreateIndex
CREATE INDEX "SiloMovement_code_sequence_idx" ON "SiloMovement"("code", "sequence");

-- CreateIndex
CREATE INDEX "SiloMovement_applied_idx" ON "SiloMovement"("applied");

-- CreateIndex
CREATE INDEX "SiloMovement_reverses_idx" ON "SiloMovement"("reverses");

-- CreateIndex
CREATE INDEX "SiloReservation_code_state_idx" ON "SiloReservation"("code", "state");

-- CreateIndex
CREATE INDEX "DepotSiloMovement_depotId_code_lot_which_idx" ON "DepotSiloMovement"("depotId", "code", "lot", "which");

-- CreateIndex
CREATE INDEX "DepotSiloMovement_depotId_isApplied_idx" ON "DepotSiloMovement"("depotId", "isApplied");

-- CreateIndex
CREATE INDEX "DepotSiloReservation_depotId_code_lot_state_idx" ON "DepotSiloReservation"("depotId", "code", "lot", "state");
