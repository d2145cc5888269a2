-- CreateTable
CREATE TABLE "Lease" (
    "name" TEXT NOT NULL,
    "token" BIGINT NOT NULL,
    "holder" TEXT,
    "expiresAt" TIMESTAMPTZ(6),
    "progress" JSONB,
    "waiting" JSONB NOT NULL DEFAULT '[]',

    CONSTRAINT "Lease_pkey" PRIMARY KEY ("name")
);

-- CreateIndex
CREATE UNIQUE INDEX "Lease_name_token_key" ON "Lease"("name", "token");
