import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { root, run } from './support/command.js'
import { temporaryFolder } from './support/database.js'

/** What an example prints, which must succeed. */
async function outputOf(t: ExecutionContext, name: string, cwd: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(process.execPath, [path.join(root, 'examples', name), ...args], { cwd })
  t.is(code, 0, stderr)
  return stdout
}

test('the object-store example prints what its comments say', async (t) => {
  const output = await outputOf(t, 'object-store.mjs', await temporaryFolder(t))
  t.deepEqual(output.trimEnd().split('\n'), [
    "[ 'photos/2024/', 'photos/2025/' ]",
    "[ 'photos/index.html' ]",
    '2',
    'undefined',
    'photos/2025/lake.jpg 77120',
    'photos/2025/river.jpg 204981',
  ])
})

test('the file-index example shows the folder it is given', async (t) => {
  const folder = await temporaryFolder(t)
  await mkdir(path.join(folder, 'a/b'), { recursive: true })
  await writeFile(path.join(folder, 'a/b/deep.txt'), 'deep')
  await writeFile(path.join(folder, 'top.txt'), 'top')
  const output = await outputOf(t, 'file-index.mjs', folder, folder)
  t.deepEqual(output.trimEnd().split('\n'), ['4 paths', 'a/  2 paths below', 'top.txt  3 bytes'])
})

test('the job-queue example hands out each job once', async (t) => {
  const output = await outputOf(t, 'job-queue.mjs', await temporaryFolder(t))
  t.deepEqual(output.trimEnd().split('\n'), [
    '1 2 3',
    'worker-1/00000001 worker-2/00000002',
    '1',
    'ann/1 worker-1/00000001 resize',
    'ann/3 waiting/00000003 index',
  ])
})

test('the artifact-registry example never publishes a version twice', async (t) => {
  const output = await outputOf(t, 'artifact-registry.mjs', await temporaryFolder(t))
  t.deepEqual(output.trimEnd().split('\n'), [
    'true true',
    'false 2',
    'two one undefined',
    '2 web/core@1.0.0 web/core@1.1.0 web/router@0.9.0',
    'https://web.example https://registry.example',
    '3 0',
    'ERR_COPPICE_NOT_EMPTY',
  ])
})

test('the worker-pool example does each job once', async (t) => {
  const folder = await temporaryFolder(t)
  const output = await outputOf(t, 'worker-pool.mjs', folder, path.join(folder, 'db'))
  t.is(output, '300 results, 0 jobs left, sum 8955050\n')
})

test('the example in the README is the one that runs here', async (t) => {
  const readme = await readFile(path.join(root, 'README.md'), 'utf8')
  const example = await readFile(path.join(root, 'examples/object-store.mjs'), 'utf8')
  const code = example.slice(example.indexOf('import '))
  t.true(readme.includes(`\`\`\`js\n${code}\`\`\`\n`))
})
