-- CreateTable
CREATE TABLE "ArchiveStock" (
    "code" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "opening" INTEGER NOT NULL DEFAULT 0,
    "sequence" BIGINT NOT NULL DEFAULT 0,
    "closedUntil" DATE,

    CONSTRAINT "ArchiveStock_pkey" PRIMARY KEY ("code")
);

-- CreateTable
CREATE TABLE "ArchiveMovement" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "reverses" TEXT,
    "date" DATE NOT NULL,
    "sequence" BIGINT,
    "balance" INTEGER,
    "at" TIMESTAMPTZ(3),

    CONSTRAINT "ArchiveMovement_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateIndex
CREATE INDEX "ArchiveMovement_code_sequence_idx" ON "ArchiveMovement"("code", "sequence");

-- CreateIndex
CREATE INDEX "ArchiveMovement_reverses_idx" ON "ArchiveMovement"("reverses");
