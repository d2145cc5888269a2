/**
 * Lets a test decide what a COMMIT runs into: a note whose text begins with `at commit:` has the rest
 * of it executed when its transaction commits, by a deferred constraint trigger.
 */
export const AT_COMMIT_TRIGGER = `
CREATE FUNCTION run_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE substr(NEW.text, 11);
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER run_at_commit AFTER INSERT ON "Note" DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.text LIKE 'at commit:%') EXECUTE FUNCTION run_at_commit()`

/** The data of a note that runs this SQL when its transaction commits. */
export function atCommit(sql: string): { text: string } {
  return { text: `at commit:${sql}` }
}
