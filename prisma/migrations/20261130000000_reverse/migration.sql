-- AlterTable
ALTER TABLE "CompanyMovement" ADD COLUMN "reverses" TEXT;

-- CreateTable
CREATE TABLE "Tank" (
    "code" TEXT NOT NULL,
    "litres" DECIMAL(12,3) NOT NULL DEFAULT 0,
    "minimum" DECIMAL(12,3) NOT NULL DEFAULT 0,

    CONSTRAINT "Tank_pkey" PRIMARY KEY ("code")
);

-- CreateTable
CREATE TABLE "TankMovement" (
    "requestId" UUID NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "change" DECIMAL(12,3) NOT NULL,
    "isRefused" BOOLEAN NOT NULL DEFAULT false,
    "which it undoes" UUID,
    "by" TEXT NOT NULL,
    "why" TEXT,

    CONSTRAINT "TankMovement_pkey" PRIMARY KEY ("requestId","line")
);

-- CreateIndex
CREATE INDEX "CompanyMovement_companyId_reverses_idx" ON "CompanyMovement"("companyId", "reverses");

-- CreateIndex
CREATE INDEX "TankMovement_which it undoes_idx" ON "TankMovement"("which it undoes");
