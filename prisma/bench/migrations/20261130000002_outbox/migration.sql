-- CreateTable
CREATE TABLE "told" (
    "transaction_id" TEXT NOT NULL,

    CONSTRAINT "told_pkey" PRIMARY KEY ("transaction_id")
);

-- CreateTable
CREATE TABLE "message" (
    "id" BIGSERIAL NOT NULL,
    "transaction_id" TEXT NOT NULL,

    CONSTRAINT "message_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "outbox_message" (
    "id" UUID NOT NULL,
    "topic" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "position" BIGINT NOT NULL,
    "payload" JSONB NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "error" TEXT,
    "dead_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "outbox_message_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "outbox_key" (
    "topic" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "head" BIGINT NOT NULL,
    "last" BIGINT NOT NULL,
    "due_at" TIMESTAMPTZ(3),

    CONSTRAINT "outbox_key_pkey" PRIMARY KEY ("topic","key")
);

-- CreateIndex
CREATE UNIQUE INDEX "outbox_message_topic_key_position_key" ON "outbox_message"("topic", "key", "position");

-- CreateIndex
CREATE INDEX "outbox_message_dead_at_idx" ON "outbox_message"("dead_at");

-- CreateIndex
CREATE INDEX "outbox_key_topic_due_at_idx" ON "outbox_key"("topic", "due_at");
