/** The advisory lock that holds processes back until all of them are there: a test has it exclusively meanwhile. */
export const STARTING_LINE = 71_001
/** The advisory lock for which the body of an operation waits, if the test has told it so. */
export const BODY_GATE = 71_002
