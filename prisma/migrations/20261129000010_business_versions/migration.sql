CREATE TABLE "Prompt" (
  "id" SERIAL NOT NULL,
  "name" TEXT NOT NULL,
  "version" INTEGER NOT NULL DEFAULT 0,
  "text" TEXT NOT NULL,
  CONSTRAINT "Prompt_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "Prompt_name_version_key" ON "Prompt" ("name", "version");

CREATE TABLE "Edition" (
  "version" INTEGER NOT NULL DEFAULT 0,
  "text" TEXT NOT NULL
);
CREATE UNIQUE INDEX "Edition_version_key" ON "Edition" ("version");

CREATE TABLE "Contract" (
  "id" SERIAL NOT NULL,
  "version" INTEGER NOT NULL,
  "text" TEXT NOT NULL,
  CONSTRAINT "Contract_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "Crate" (
  "code" TEXT NOT NULL,
  "onHand" INTEGER NOT NULL DEFAULT 0,
  "reserved" INTEGER NOT NULL DEFAULT 0,
  "version" INTEGER NOT NULL DEFAULT 0,
  "rowVersion" INTEGER NOT NULL DEFAULT 0,
  CONSTRAINT "Crate_pkey" PRIMARY KEY ("code")
);

CREATE TABLE "CrateMovement" (
  "transactionId" TEXT NOT NULL,
  "line" INTEGER NOT NULL,
  "code" TEXT NOT NULL,
  "quantity" INTEGER NOT NULL,
  "applied" BOOLEAN NOT NULL DEFAULT true,
  "rowVersion" INTEGER NOT NULL DEFAULT 0,
  CONSTRAINT "CrateMovement_pkey" PRIMARY KEY ("transactionId", "line")
);

CREATE TABLE "CrateReservation" (
  "transactionId" TEXT NOT NULL,
  "line" INTEGER NOT NULL,
  "code" TEXT NOT NULL,
  "quantity" INTEGER NOT NULL,
  "state" TEXT NOT NULL DEFAULT 'active',
  "expiresAt" TIMESTAMPTZ(3) NOT NULL,
  "rowVersion" INTEGER NOT NULL DEFAULT 0,
  CONSTRAINT "CrateReservation_pkey" PRIMARY KEY ("transactionId", "line")
);

CREATE TABLE "CrateSerial" (
  "number" TEXT NOT NULL,
  "transactionId" TEXT,
  "rowVersion" BIGINT NOT NULL DEFAULT 0,
  CONSTRAINT "CrateSerial_pkey" PRIMARY KEY ("number")
);

CREATE TABLE "CrateSeries" (
  "name" TEXT NOT NULL,
  "period" TEXT NOT NULL DEFAULT '',
  "last" BIGINT NOT NULL,
  "rowVersion" INTEGER NOT NULL DEFAULT 0,
  CONSTRAINT "CrateSeries_pkey" PRIMARY KEY ("name", "period")
);
