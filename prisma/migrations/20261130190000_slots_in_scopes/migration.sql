-- CreateTable
CREATE TABLE "Seat" (
    "companyId" INTEGER NOT NULL,
    "site" INTEGER NOT NULL,
    "event" TEXT NOT NULL,
    "slot" INTEGER NOT NULL DEFAULT 0,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "opening" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "Seat_pkey" PRIMARY KEY ("companyId","site","event","slot")
);

-- CreateTable
CREATE TABLE "SeatSale" (
    "companyId" INTEGER NOT NULL,
    "site" INTEGER NOT NULL,
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "event" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,

    CONSTRAINT "SeatSale_pkey" PRIMARY KEY ("companyId","site","transactionId","line")
);

-- CreateIndex
CREATE INDEX "SeatSale_companyId_site_event_idx" ON "SeatSale"("companyId", "site", "event");

-- CreateIndex
CREATE UNIQUE INDEX "SeatSale_companyId_transactionId_line_key" ON "SeatSale"("companyId", "transactionId", "line");
