-- CreateTable
CREATE TABLE "Serial" (
    "productId" INTEGER NOT NULL,
    "number" TEXT NOT NULL,
    "transactionId" TEXT,
    "orderId" INTEGER,

    CONSTRAINT "Serial_pkey" PRIMARY KEY ("productId","number")
);

-- CreateTable
CREATE TABLE "SerialAllocation" (
    "transactionId" TEXT NOT NULL,
    "request" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "SerialAllocation_pkey" PRIMARY KEY ("transactionId")
);

-- CreateIndex
CREATE INDEX "Serial_transactionId_productId_number_idx" ON "Serial"("transactionId", "productId", "number");

-- CreateTable
CREATE TABLE "soft licence" (
    "id" BIGSERIAL NOT NULL,
    "the code" VARCHAR(40) NOT NULL,
    "held by" UUID,
    "order" "kind of thing" NOT NULL DEFAULT 'PLAIN',
    "seats" BIGINT NOT NULL DEFAULT 1,
    "price" DECIMAL(12,2) NOT NULL DEFAULT 0,
    "valid since" TIMESTAMPTZ(3),
    "tags" TEXT[],
    "note" JSONB,
    "row version" INTEGER NOT NULL DEFAULT 0,
    "updated at" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "soft licence_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "soft licence grant" (
    "id" SERIAL NOT NULL,
    "the reference" UUID NOT NULL,
    "what was asked" TEXT NOT NULL,
    "count of" INTEGER NOT NULL,
    "updated at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "soft licence grant_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "soft licence_the code_key" ON "soft licence"("the code");

-- CreateIndex
CREATE UNIQUE INDEX "soft licence grant_the reference_key" ON "soft licence grant"("the reference");
