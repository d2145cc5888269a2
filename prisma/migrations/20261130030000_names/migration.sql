-- CreateTable
CREATE TABLE "Credit" (
    "customerId" INTEGER NOT NULL,
    "balance" INTEGER NOT NULL DEFAULT 0,
    "minimum" INTEGER DEFAULT 0,

    CONSTRAINT "Credit_pkey" PRIMARY KEY ("customerId")
);

-- CreateTable
CREATE TABLE "CreditEntry" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "customerId" INTEGER NOT NULL,
    "amount" INTEGER NOT NULL,

    CONSTRAINT "CreditEntry_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateTable
CREATE TABLE "Article" (
    "code" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "opening" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "Article_pkey" PRIMARY KEY ("code")
);

-- CreateTable
CREATE TABLE "ArticleMovement" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "movedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "ArticleMovement_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateIndex
CREATE INDEX "CreditEntry_customerId_idx" ON "CreditEntry"("customerId");

-- CreateIndex
CREATE INDEX "ArticleMovement_code_idx" ON "ArticleMovement"("code");

-- CreateIndex
CREATE INDEX "ArticleMovement_applied_idx" ON "ArticleMovement"("applied");
