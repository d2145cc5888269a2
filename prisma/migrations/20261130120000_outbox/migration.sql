-- CreateTable
CREATE TABLE "OutboxMessage" (
    "id" UUID NOT NULL,
    "topic" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "position" BIGINT NOT NULL,
    "payload" JSONB NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "error" TEXT,
    "deadAt" TIMESTAMPTZ(3),
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "OutboxMessage_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "OutboxKey" (
    "topic" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "head" BIGINT NOT NULL,
    "last" BIGINT NOT NULL,
    "dueAt" TIMESTAMPTZ(3),

    CONSTRAINT "OutboxKey_pkey" PRIMARY KEY ("topic","key")
);

-- CreateIndex
CREATE UNIQUE INDEX "OutboxMessage_topic_key_position_key" ON "OutboxMessage"("topic", "key", "position");

-- CreateIndex
CREATE INDEX "OutboxMessage_deadAt_idx" ON "OutboxMessage"("deadAt");

-- CreateIndex
CREATE INDEX "OutboxKey_topic_dueAt_idx" ON "OutboxKey"("topic", "dueAt");
