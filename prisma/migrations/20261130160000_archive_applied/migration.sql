-- AlterTable
ALTER TABLE "ArchiveMovement" ADD COLUMN     "applied" BOOLEAN NOT NULL DEFAULT true;
