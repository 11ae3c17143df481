// The README is the specification: whatever the typings have, it must have, too.

import { readFile } from 'node:fs/promises'
import path from 'node:path'
import test from 'ava'
import ts from 'typescript'
import { root } from './support/command.js'

const readme = await readFile(path.join(root, 'README.md'), 'utf8')
const code = (readme.match(/`[^`\n]+`/g) ?? []).join(' ')
const typings = ts.createSourceFile(
  'index.d.ts',
  await readFile(path.join(root, 'index.d.ts'), 'utf8'),
  ts.ScriptTarget.Latest,
)

/** The names of what an interface has, those of object types within it included. */
function membersOf(node: ts.Node): string[] {
  const members: string[] = []
  const visit = (child: ts.Node): void => {
    const isMember = ts.isPropertySignature(child) || ts.isMethodSignature(child)
    if (isMember && ts.isIdentifier(child.name)) members.push(child.name.text)
    ts.forEachChild(child, visit)
  }
  visit(node)
  return members
}

// Its figures are explained where they are declared.
const FIGURES = new Set(['DatabaseStats'])

for (const statement of typings.statements) {
  if (!ts.isInterfaceDeclaration(statement) || FIGURES.has(statement.name.text)) continue
  const { text: name } = statement.name
  test(`the README has every member of ${name}`, (t) => {
    const missing = membersOf(statement).filter((member) => !new RegExp(`\\b${member}\\b`).test(code))
    t.deepEqual(missing, [])
  })
}

test('the README has every error code', (t) => {
  const [codes] = typings.statements.filter(ts.isTypeAliasDeclaration)
  t.is(codes?.name.text, 'CoppiceErrorCode')
  const all = codes?.type.getText(typings).match(/ERR_\w+/g) ?? []
  t.true(all.length >= 19)
  t.deepEqual(
    all.filter((one) => !readme.includes(`\`${one}\``)),
    [],
  )
})
