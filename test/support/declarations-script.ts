/**
 * Checks the files that a configuration of TypeScript names, and writes their declarations. `tsc` would write those of
 * the generated clients too, which are Prisma's, and takes twice as long.
 */
import ts from 'typescript'

const [config = ''] = process.argv.slice(2)
const host = {
  ...ts.sys,
  onUnRecoverableConfigFileDiagnostic: ({ messageText }: ts.Diagnostic) => {
    throw new Error(ts.flattenDiagnosticMessageText(messageText, '\n'))
  },
}
const { fileNames = [], options = {}, errors = [] } = ts.getParsedCommandLineOfConfigFile(config, {}, host) ?? {}
const program = ts.createProgram(fileNames, options)
const own = fileNames.map((name) => program.getSourceFile(name))
const found = [
  ...errors,
  ...program.getOptionsDiagnostics(),
  ...program.getGlobalDiagnostics(),
  ...own.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]),
  ...own.flatMap((file) => program.emit(file).diagnostics),
]
process.stdout.write(
  ts.formatDiagnostics(found, {
    getCurrentDirectory: ts.sys.getCurrentDirectory,
    getNewLine: () => '\n',
    getCanonicalFileName: (name) => name,
  }),
)
process.exitCode = found.length > 0 || own.length === 0 ? 1 : 0
