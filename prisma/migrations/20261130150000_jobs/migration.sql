-- CreateTable
CREATE TABLE "JobRun" (
    "job" TEXT NOT NULL,
    "token" BIGINT NOT NULL,
    "state" TEXT NOT NULL,
    "period" TIMESTAMPTZ(3),
    "startedAt" TIMESTAMPTZ(3) NOT NULL,
    "endedAt" TIMESTAMPTZ(3),
    "startedBy" TEXT,
    "error" TEXT,
    "progress" JSONB,

    CONSTRAINT "JobRun_pkey" PRIMARY KEY ("job","token")
);

-- CreateIndex
CREATE INDEX "JobRun_job_state_token_idx" ON "JobRun"("job", "state", "token");
