-- AlterTable
ALTER TABLE "Invoice" ADD COLUMN "transactionId" TEXT;

-- CreateTable
CREATE TABLE "Certificate" (
    "id" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "counter" BIGINT,
    "transactionId" TEXT NOT NULL,

    CONSTRAINT "Certificate_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "Invoice_transactionId_key" ON "Invoice"("transactionId");

-- CreateIndex
CREATE UNIQUE INDEX "Certificate_transactionId_key" ON "Certificate"("transactionId");
