/** `Prisma.JsonNull` and `Prisma.DbNull`; both are read back as `null`. */
export function isNullObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Symbol.for('prisma.objectEnumValue') in value
}
