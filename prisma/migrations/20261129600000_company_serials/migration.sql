-- CreateTable
CREATE TABLE "CompanySerial" (
    "companyId" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "number" TEXT NOT NULL,
    "transactionId" TEXT,
    "orderId" INTEGER,
    "changes" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "CompanySerial_pkey" PRIMARY KEY ("companyId","productId","number")
);

-- CreateTable
CREATE TABLE "CompanySerialAllocation" (
    "companyId" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "request" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "CompanySerialAllocation_pkey" PRIMARY KEY ("companyId","transactionId")
);

-- CreateTable
CREATE TABLE "CompanySerialHistory" (
    "companyId" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "number" TEXT NOT NULL,
    "transactionId" TEXT,
    "orderId" INTEGER,
    "sequence" INTEGER NOT NULL,
    "changedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "CompanySerialHistory_pkey" PRIMARY KEY ("companyId","productId","number","sequence")
);

-- CreateIndex
CREATE INDEX "CompanySerial_companyId_transactionId_productId_number_idx" ON "CompanySerial"("companyId", "transactionId", "productId", "number");

-- CreateEnum
CREATE TYPE "DeviceState" AS ENUM ('FREE', 'ALLOCATED', 'BLOCKED');

-- CreateTable
CREATE TABLE "Device" (
    "productId" INTEGER NOT NULL,
    "number" TEXT NOT NULL,
    "transactionId" TEXT,
    "orderId" INTEGER,
    "state" "DeviceState" NOT NULL DEFAULT 'FREE',
    "changes" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "Device_pkey" PRIMARY KEY ("productId","number")
);

-- CreateTable
CREATE TABLE "DeviceAllocation" (
    "transactionId" TEXT NOT NULL,
    "request" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "DeviceAllocation_pkey" PRIMARY KEY ("transactionId")
);

-- CreateTable
CREATE TABLE "DeviceHistory" (
    "productId" INTEGER NOT NULL,
    "number" TEXT NOT NULL,
    "transactionId" TEXT,
    "orderId" INTEGER,
    "state" "DeviceState" NOT NULL,
    "sequence" INTEGER NOT NULL,
    "changedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "DeviceHistory_pkey" PRIMARY KEY ("productId","number","sequence")
);

-- CreateIndex
CREATE INDEX "Device_transactionId_state_productId_number_idx" ON "Device"("transactionId", "state", "productId", "number");

