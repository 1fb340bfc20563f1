import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import { create } from './create.ts'

let dir: string
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'create-weir-'))))
afterEach(() => rmSync(dir, { recursive: true }))
const repository = new URL('../../../', import.meta.url)
const yaml = (path: URL | string): Record<string, unknown> =>
  parse(readFileSync(path, 'utf8'), { merge: true }) as Record<string, unknown>

test('a project has its name and this version everywhere, and nothing of the template', async () => {
  const { name, files } = await create(join(dir, 'My-Shop'))
  expect(name).toBe('my-shop')
  expect(files).toEqual([
    ...['.gitignore', 'README.md', 'deploy/Dockerfile', 'deploy/compose.yaml', 'deploy/values.yaml', 'package.json'],
    ...['src/job.test.ts', 'src/job.ts', 'tsconfig.json'],
  ])
  const texts = files.map((file) => readFileSync(join(dir, 'My-Shop', file), 'utf8')).join()
  expect(texts).not.toMatch(/\{\{|weir-app-name/)
  const manifest = JSON.parse(readFileSync(join(dir, 'My-Shop/package.json'), 'utf8')) as { dependencies: object }
  const { version } = JSON.parse(readFileSync(new URL('package.json', repository), 'utf8')) as { version: string }
  expect(manifest).toMatchObject({
    name: 'my-shop',
    dependencies: { '@weir/sdk': version },
    devDependencies: { '@weir/cli': version },
  })
})

test('an empty repository is a folder like any other; one with files is left alone', async () => {
  mkdirSync(join(dir, 'shop/.git'), { recursive: true })
  await expect(create(join(dir, 'shop'))).resolves.toMatchObject({ name: 'shop' })
  mkdirSync(join(dir, 'other'))
  writeFileSync(join(dir, 'other/notes.txt'), 'mine')
  await expect(create(join(dir, 'other'))).rejects.toThrow('is not empty (notes.txt is there)')
  await expect(create(join(dir, 'a b'))).rejects.toThrow('use a-z, 0-9 and "-"')
})

test('its fleet is that of the repository, but for the image', async () => {
  await create(join(dir, 'shop'))
  const [made, ours] = [yaml(join(dir, 'shop/deploy/compose.yaml')), yaml(new URL('docker-compose.yml', repository))]
  const without = ({ services, volumes }: Record<string, unknown>): unknown => ({
    volumes,
    services: Object.entries(services as Record<string, object>).map(
      ([name, { build: _, ...service }]: [string, { build?: unknown }]) => [name, service],
    ),
  })
  expect(without(made)).toEqual(without(ours))
})

test('its values are some that the chart has', async () => {
  await create(join(dir, 'shop'))
  const known = (values: unknown, chart: unknown, path: string): string[] =>
    typeof values !== 'object' || values === null || Array.isArray(values)
      ? []
      : Object.entries(values).flatMap(([key, value]) => {
          const of = (chart as Record<string, unknown> | null)?.[key]
          return of === undefined ? [`${path}${key}`] : known(value, of, `${path}${key}.`)
        })
  const [made, chart] = [
    yaml(join(dir, 'shop/deploy/values.yaml')),
    yaml(new URL('deploy/helm/weir/values.yaml', repository)),
  ]
  expect(known(made, chart, '')).toEqual([])
})
