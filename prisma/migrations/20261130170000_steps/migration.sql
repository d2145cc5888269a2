-- CreateTable
CREATE TABLE "Operation" (
    "scope" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "request" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "answer" TEXT,
    "steps" JSONB NOT NULL,
    "changedAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "Operation_pkey" PRIMARY KEY ("scope","key")
);

-- CreateIndex
CREATE INDEX "Operation_state_changedAt_idx" ON "Operation"("state", "changedAt");
