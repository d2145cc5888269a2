#!/usr/bin/env node
import { runCommand } from './run.js'

// The client module of the application may hold a pool, or serve: nothing of it keeps the command from its end.
const code = await runCommand(process.argv.slice(2))
await new Promise((resolve) => process.stdout.write('', resolve))
process.exit(code)
