-- CreateTable
CREATE TABLE "InboxMessage" (
    "consumer" TEXT NOT NULL,
    "messageId" TEXT NOT NULL,
    "handledAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "InboxMessage_pkey" PRIMARY KEY ("consumer","messageId")
);

-- CreateTable
CREATE TABLE "InboxVersion" (
    "consumer" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "lastVersion" BIGINT NOT NULL,

    CONSTRAINT "InboxVersion_pkey" PRIMARY KEY ("consumer","key")
);

-- CreateIndex
CREATE INDEX "InboxMessage_consumer_handledAt_idx" ON "InboxMessage"("consumer", "handledAt");
