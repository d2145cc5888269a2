-- CreateTable
CREATE TABLE "PlainIdempotencyKey" (
    "scope" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "request" TEXT NOT NULL,
    "answer" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "PlainIdempotencyKey_pkey" PRIMARY KEY ("scope","key")
);
