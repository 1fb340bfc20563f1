/** The layer rule bites: a forbidden import of every kind is an error, an allowed one is not. */
import { ESLint } from 'eslint'
import { describe, expect, test } from 'vitest'
import { entries, io, pure, rooms } from './layers.js'

const root = new URL('../../', import.meta.url).pathname
// Rules that need types would read the whole project for each text.
const eslint = new ESLint({
  cwd: root,
  overrideConfig: [
    {
      languageOptions: { parserOptions: { project: null } },
      rules: { '@typescript-eslint/no-floating-promises': 'off' },
    },
  ],
})
const restricted = async (room: string, text: string): Promise<boolean> => {
  const [name, entry = '.'] = room.split('/')
  const filePath = `${root}libs/${name}/src/${entry}/example.ts`
  const [result] = await eslint.lintText(text, { filePath })
  return result!.messages.some((m) => m.ruleId?.startsWith('no-restricted'))
}
const importing = (name: string): string => `import * as x from '${name}'\nexport default x\n`
const libs = Object.keys(rooms).filter((room) => room !== 'proto')

describe.each(libs)('%s', (room) => {
  const allowed = (rooms as Record<string, string[]>)[room]!
  test('imports what its layer allows and nothing else', async () => {
    for (const other of libs.filter((r) => r !== room)) {
      expect({ other, restricted: await restricted(room, importing(`@weir/${other}`)) }).toEqual({
        other,
        restricted: !allowed.includes(other),
      })
    }
  })

  test('knows no Nest', async () => {
    expect(await restricted(room, importing('@nestjs/common'))).toBe(true)
  })
})

describe.each(Object.entries(entries))('%s', (entry, allowed) => {
  const [room = '', folder] = entry.split('/')
  test('imports what its layer allows and nothing else', async () => {
    for (const other of libs.filter((r) => r !== room)) {
      expect({ other, restricted: await restricted(entry, importing(`@weir/${other}`)) }).toEqual({
        other,
        restricted: !allowed.includes(other),
      })
    }
  })

  test('is not drawn into the rest of its room', async () => {
    expect(await restricted(room, importing(`./${folder}/index.ts`))).toBe(true)
  })
})

describe.each(pure)('%s is pure', (room) => {
  test('no I/O, no clock, no randomness', async () => {
    for (const name of ['node:fs', 'node:net', ...io.filter((n) => !n.includes('*'))]) {
      expect({ name, restricted: await restricted(room, importing(name)) }).toEqual({ name, restricted: true })
    }
    for (const text of ['setTimeout(() => 1, 1)', 'export default Date.now()', 'export default Math.random()']) {
      expect(await restricted(room, text)).toBe(true)
    }
  })
})

test('kafkajs is known to one room', async () => {
  expect(await restricted('kafka', importing('kafkajs'))).toBe(false)
  expect(await restricted('connectors', importing('kafkajs'))).toBe(true)
})
