-- CreateIndex
CREATE INDEX "SiloReservation_state_transactionId_line_idx" ON "SiloReservation"("state", "transactionId", "line");

-- CreateIndex
CREATE INDEX "DepotSiloReservation_depotId_state_transactionId_line_idx" ON "DepotSiloReservation"("depotId", "state", "transactionId", "line");
