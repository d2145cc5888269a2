-- DropIndex
DROP INDEX "SeatSale_companyId_site_event_idx";

-- AlterTable
ALTER TABLE "Seat" ADD COLUMN     "sequence" BIGINT NOT NULL DEFAULT 0;

-- AlterTable
ALTER TABLE "SeatSale" ADD COLUMN     "at" TIMESTAMPTZ(3),
ADD COLUMN     "balance" INTEGER,
ADD COLUMN     "customer" TEXT,
ADD COLUMN     "sequence" BIGINT,
ADD COLUMN     "slot" INTEGER NOT NULL DEFAULT 0;

-- CreateIndex
CREATE UNIQUE INDEX "SeatSale_companyId_site_event_slot_sequence_key" ON "SeatSale"("companyId", "site", "event", "slot", "sequence");
