-- CreateEnum
CREATE TYPE "ParcelState" AS ENUM ('PENDING', 'PAID', 'on its way', 'CANCELLED');

-- CreateTable
CREATE TABLE "Parcel" (
    "id" SERIAL NOT NULL,
    "code" TEXT NOT NULL,
    "state" "ParcelState" NOT NULL DEFAULT 'PENDING',
    "note" TEXT,
    "version" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "Parcel_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ParcelMove" (
    "id" SERIAL NOT NULL,
    "parcelId" INTEGER NOT NULL,
    "from" "ParcelState" NOT NULL,
    "to" "ParcelState" NOT NULL,
    "by" TEXT,

    CONSTRAINT "ParcelMove_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Errand" (
    "id" SERIAL NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'open',

    CONSTRAINT "Errand_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "Parcel_code_key" ON "Parcel"("code");

-- AddForeignKey
ALTER TABLE "ParcelMove" ADD CONSTRAINT "ParcelMove_parcelId_fkey" FOREIGN KEY ("parcelId") REFERENCES "Parcel"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
