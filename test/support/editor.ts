import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

/** The view of an editor on a file of a project, at the comments that name places in it. */
export interface Editor {
  /** The documentation of the name behind the place. */
  hover(place: string): string
  /** The completions at the place: every name, with its documentation. */
  completions(place: string): ReadonlyMap<string, string>
}

/** TypeScript's language service, as editors run it. */
export function openEditor(folder: string, name: string): Editor {
  const file = join(folder, name)
  const text = readFileSync(file, 'utf8')
  const { config } = ts.readConfigFile(join(folder, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [name] }, ts.sys, folder)
  const service = ts.createLanguageService({
    ...ts.sys,
    useCaseSensitiveFileNames: () => ts.sys.useCaseSensitiveFileNames,
    getCompilationSettings: () => options,
    getCurrentDirectory: () => folder,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    getScriptFileNames: () => [file],
    getScriptVersion: () => '1',
    getScriptSnapshot: (path) => {
      const content = ts.sys.readFile(path)
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content)
    },
  })
  const behind = (place: string) => {
    const mark = `/*${place}*/`
    if (!text.includes(mark)) throw new Error(`There is no ${mark} in ${name}.`)
    return text.indexOf(mark) + mark.length
  }
  return {
    hover: (place) => ts.displayPartsToString(service.getQuickInfoAtPosition(file, behind(place))?.documentation),
    completions(place) {
      const at = behind(place)
      const entries = service.getCompletionsAtPosition(file, at, undefined)?.entries ?? []
      return new Map(
        entries.slice(0, 30).map(({ name, source, data }) => {
          const details = service.getCompletionEntryDetails(file, at, name, undefined, source, undefined, data)
          return [name, ts.displayPartsToString(details?.documentation)]
        }),
      )
    },
  }
}
