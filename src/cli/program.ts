/**
 * The commands and their arguments, as `--help` shows them. What they do is in the modules named after them, which are
 * loaded when a command runs: so `--help` needs no addon, and one that does not load is a failure like any other.
 */

import { Command } from 'commander'
import { EXIT } from './failure.js'

const indexing = () => import('./index-command.js')
const reading = () => import('./read-commands.js')
const verifying = () => import('./verify-command.js')
const salvaging = () => import('./salvage-command.js')
const copying = () => import('./backup-command.js')

/** Put in by the build. */
declare const PACKAGE_VERSION: string

const EXIT_CODES = `
Exit codes:
  ${EXIT.ok}    done; paths that could not be read are reported, not a failure
  ${EXIT.failure}    failed: the message on stderr says why
  ${EXIT.usage}    wrong arguments, or a path at which there is something else than a database
  ${EXIT.notFound}    the folder, the database or the path is not there
  ${EXIT.locked}    another process has the database open
  ${EXIT.damaged}    the database is damaged, or of a format that this version cannot read
  ${EXIT.interrupted}  interrupted; what was stored until then is kept

COPPICE_DEBUG=1 shows the stack trace and the cause of a failure.`

const PREFIX_NOTE = `
A prefix is text, not a folder: lib covers lib64/ too. End it with / to mean the folder.`

const SALVAGE_NOTE = `
Exits with 0 where nothing is wrong with the damaged database, and with 1 where something is: what could be kept is at the
destination, and what was lost is listed.`

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`
}

/** The program, ready to parse. It throws commander's errors instead of exiting. */
export function buildProgram(): Command {
  const program = new Command('coppice')
    .description('Index directory trees into a Coppice database, and ask it about them.')
    .version(PACKAGE_VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .addHelpText('after', EXIT_CODES)
    .addHelpText('after', examples('coppice index /usr usr.db', 'coppice ls usr.db share/', 'coppice du usr.db'))
    .showHelpAfterError('(coppice --help tells more)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'coppice: ')) })
    .exitOverride()

  const json = ['--json', 'print one JSON document'] as const
  const base64 = [
    '--base64',
    'the path or prefix is given as base64, as --json shows a name that is not UTF-8',
  ] as const
  const database = ['<database>', 'the folder of the database'] as const

  program
    .command('index')
    .description("store each path's type, size, mode and time of last change; an earlier index is brought up to date")
    .argument('<folder>', 'the folder to walk; symbolic links in it are recorded, not followed')
    .argument('<database>', 'the folder of the database, created where there is none')
    .option(...json)
    .addHelpText('after', examples('coppice index /usr usr.db', 'coppice index --json . ../project.db'))
    .action(async (folder, path, options) => (await indexing()).indexCommand(folder, path, options))

  program
    .command('ls')
    .description('list the paths and folders directly under a prefix')
    .argument(...database)
    .argument('[prefix]', 'which part to list; all where it is left out', '')
    .option('-l, --long', 'show type, mode, size and time of last change')
    .option(...json)
    .option(...base64)
    .addHelpText('after', PREFIX_NOTE)
    .addHelpText('after', examples('coppice ls usr.db', 'coppice ls -l usr.db share/doc/'))
    .action(async (path, prefix, options) => (await reading()).lsCommand(path, prefix, options))

  program
    .command('get')
    .description('show what is stored for one path')
    .argument(...database)
    .argument('<path>', 'the path below the indexed folder')
    .option(...json)
    .option(...base64)
    .addHelpText('after', examples('coppice get usr.db bin/env', 'coppice get --json usr.db share/'))
    .action(async (path, key, options) => (await reading()).getCommand(path, key, options))

  program
    .command('count')
    .description('count the paths under a prefix, without reading them')
    .argument(...database)
    .argument('[prefix]', 'which part to count; all where it is left out', '')
    .option(...json)
    .option(...base64)
    .addHelpText('after', PREFIX_NOTE)
    .addHelpText('after', examples('coppice count usr.db', 'coppice count usr.db lib/'))
    .action(async (path, prefix, options) => (await reading()).countCommand(path, prefix, options))

  program
    .command('du')
    .description('add up the bytes of the files under each child of a prefix, largest first')
    .argument(...database)
    .argument('[prefix]', 'which part to measure; all where it is left out', '')
    .option(...json)
    .option(...base64)
    .addHelpText('after', PREFIX_NOTE)
    .addHelpText('after', examples('coppice du usr.db', 'coppice du --json usr.db lib/'))
    .action(async (path, prefix, options) => (await reading()).duCommand(path, prefix, options))

  program
    .command('stats')
    .description('show what the engine says about the database')
    .argument(...database)
    .option(...json)
    .addHelpText('after', examples('coppice stats usr.db', 'coppice stats --json usr.db'))
    .action(async (path, options) => (await reading()).statsCommand(path, options))

  program
    .command('verify')
    .description('read everything and check it: every checksum, and that all of it hangs together')
    .argument(...database)
    .option(...json)
    .addHelpText('after', examples('coppice verify usr.db', 'coppice verify --json usr.db'))
    .action(async (path, options) => (await verifying()).verifyCommand(path, options))

  program
    .command('backup')
    .description('copy the database to a new folder, where it is a database of its own')
    .argument(...database)
    .argument('<destination>', 'the folder of the copy: new, or empty')
    .option(...json)
    .addHelpText('after', examples('coppice backup usr.db backups/usr.db', 'coppice backup --json usr.db copy.db'))
    .action(async (path, destination, options) => (await copying()).backupCommand(path, destination, options))

  program
    .command('salvage')
    .description('rebuild a damaged database in a new folder from what still checks; the damaged one is only read')
    .argument('<damaged>', 'the folder of the damaged database, which nobody may have open to write')
    .argument('<destination>', 'the folder of the new database: new, or empty')
    .option(...json)
    .addHelpText('after', SALVAGE_NOTE)
    .addHelpText('after', examples('coppice salvage usr.db rescued.db', 'coppice salvage --json usr.db rescued.db'))
    .action(async (path, destination, options) => (await salvaging()).salvageCommand(path, destination, options))

  program
    .command('checkpoint')
    .description('move what is in the journal to the blob store, so that the next open is quick')
    .argument(...database)
    .option(...json)
    .addHelpText('after', examples('coppice checkpoint usr.db', 'coppice checkpoint --json usr.db'))
    .action(async (path, options) => (await copying()).checkpointCommand(path, options))

  return program
}
