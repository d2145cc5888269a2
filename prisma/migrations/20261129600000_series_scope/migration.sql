-- CreateTable
CREATE TABLE "SeriesVoid" (
    "series" TEXT NOT NULL,
    "period" TEXT NOT NULL,
    "value" BIGINT NOT NULL,
    "reason" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "SeriesVoid_pkey" PRIMARY KEY ("series","period","value")
);

-- CreateTable
CREATE TABLE "SeriesFree" (
    "series" TEXT NOT NULL,
    "period" TEXT NOT NULL,
    "value" BIGINT NOT NULL,

    CONSTRAINT "SeriesFree_pkey" PRIMARY KEY ("series","period","value")
);

-- CreateTable
CREATE TABLE "CompanySeries" (
    "companyId" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "period" TEXT NOT NULL DEFAULT '',
    "last" BIGINT NOT NULL,

    CONSTRAINT "CompanySeries_pkey" PRIMARY KEY ("companyId","name","period")
);

-- CreateTable
CREATE TABLE "CompanySeriesNumber" (
    "companyId" INTEGER NOT NULL,
    "series" TEXT NOT NULL,
    "transactionId" TEXT NOT NULL,
    "period" TEXT NOT NULL,
    "value" BIGINT NOT NULL,
    "text" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "CompanySeriesNumber_pkey" PRIMARY KEY ("companyId","series","transactionId")
);

-- CreateTable
CREATE TABLE "CompanySeriesVoid" (
    "companyId" INTEGER NOT NULL,
    "series" TEXT NOT NULL,
    "period" TEXT NOT NULL,
    "value" BIGINT NOT NULL,
    "reason" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "CompanySeriesVoid_pkey" PRIMARY KEY ("companyId","series","period","value")
);

-- CreateTable
CREATE TABLE "CompanySeriesFree" (
    "companyId" INTEGER NOT NULL,
    "series" TEXT NOT NULL,
    "period" TEXT NOT NULL,
    "value" BIGINT NOT NULL,

    CONSTRAINT "CompanySeriesFree_pkey" PRIMARY KEY ("companyId","series","period","value")
);

-- CreateTable
CREATE TABLE "CompanyBill" (
    "id" SERIAL NOT NULL,
    "companyId" INTEGER NOT NULL,
    "number" TEXT NOT NULL,
    "transactionId" TEXT,
    "amount" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "CompanyBill_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "CompanySeriesNumber_companyId_series_period_value_key" ON "CompanySeriesNumber"("companyId", "series", "period", "value");

-- CreateIndex
CREATE UNIQUE INDEX "CompanyBill_companyId_transactionId_key" ON "CompanyBill"("companyId", "transactionId");

-- CreateIndex
CREATE UNIQUE INDEX "CompanyBill_companyId_number_key" ON "CompanyBill"("companyId", "number");
