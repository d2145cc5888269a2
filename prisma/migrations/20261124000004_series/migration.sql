-- CreateTable
CREATE TABLE "Series" (
    "name" TEXT NOT NULL,
    "period" TEXT NOT NULL DEFAULT '',
    "last" BIGINT NOT NULL,

    CONSTRAINT "Series_pkey" PRIMARY KEY ("name","period")
);

-- CreateTable
CREATE TABLE "SeriesNumber" (
    "series" TEXT NOT NULL,
    "transactionId" TEXT NOT NULL,
    "period" TEXT NOT NULL,
    "value" BIGINT NOT NULL,
    "text" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "SeriesNumber_pkey" PRIMARY KEY ("series","transactionId")
);

-- CreateIndex
CREATE UNIQUE INDEX "SeriesNumber_series_period_value_key" ON "SeriesNumber"("series", "period", "value");

-- CreateTable
CREATE TABLE "voucher counter" (
    "id" SERIAL NOT NULL,
    "the kind" TEXT NOT NULL,
    "order" VARCHAR(10) NOT NULL,
    "count of" INTEGER NOT NULL,
    "updated at" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "voucher counter_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "raw voucher" (
    "id" BIGSERIAL NOT NULL,
    "the kind" TEXT NOT NULL,
    "reference" UUID NOT NULL,
    "span" TEXT NOT NULL,
    "position" INTEGER NOT NULL,
    "label" TEXT NOT NULL,
    "changed at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "raw voucher_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "voucher counter_order_the kind_key" ON "voucher counter"("order", "the kind");

-- CreateIndex
CREATE UNIQUE INDEX "raw voucher_the kind_reference_key" ON "raw voucher"("the kind", "reference");

-- CreateIndex
CREATE UNIQUE INDEX "raw voucher_the kind_span_position_key" ON "raw voucher"("the kind", "span", "position");
