-- CreateTable
CREATE TABLE "lease" (
    "name" TEXT NOT NULL,
    "token" BIGINT NOT NULL,
    "holder" TEXT,
    "expires_at" TIMESTAMPTZ(6),
    "progress" JSONB,
    "waiting" JSONB NOT NULL DEFAULT '[]',

    CONSTRAINT "lease_pkey" PRIMARY KEY ("name")
);

-- CreateIndex
CREATE UNIQUE INDEX "lease_name_token_key" ON "lease"("name", "token");
