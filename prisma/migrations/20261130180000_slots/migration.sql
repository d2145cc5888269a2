-- CreateTable
CREATE TABLE "Ticket" (
    "event" TEXT NOT NULL,
    "slot" INTEGER NOT NULL DEFAULT 0,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "opening" INTEGER NOT NULL DEFAULT 0,
    "price" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "Ticket_pkey" PRIMARY KEY ("event","slot")
);

-- CreateTable
CREATE TABLE "TicketSale" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "event" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "reverses" TEXT,
    "customer" TEXT,

    CONSTRAINT "TicketSale_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateIndex
CREATE INDEX "TicketSale_event_idx" ON "TicketSale"("event");

-- CreateIndex
CREATE INDEX "TicketSale_reverses_idx" ON "TicketSale"("reverses");
