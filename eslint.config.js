import js from '@eslint/js'
import tseslint from 'typescript-eslint'
import { entries, io, pure, rooms } from './tools/lint/layers.js'

const all = Object.keys(rooms)

/** The rooms it must not import, Nest outside apps/, and I/O in the pure rooms. `place`: a room, or an entry of one. */
const layerOf = (place, allowed) => {
  const [room, entry] = place.split('/')
  const forbidden = all.filter((other) => other !== room && !allowed.includes(other))
  const patterns = [
    {
      group: forbidden.flatMap((r) => [`@weir/${r}`, `@weir/${r}/*`]),
      message: `${place} may import only: ${allowed.join(', ') || 'nothing'} (ARCHITECTURE.md, layers)`,
    },
    { group: ['@nestjs/*'], message: 'Nest lives in apps/ only' },
  ]
  if (room !== 'kafka') patterns.push({ group: ['kafkajs', 'kafkajs/*'], message: 'kafkajs lives in libs/kafka only' })
  if (pure.includes(room)) patterns.push({ group: io, message: 'a pure room does no I/O: put it behind a port' })
  const higher = Object.keys(entries).flatMap((name) =>
    name.split('/')[0] === room ? [`./${name.split('/')[1]}/*`] : [],
  )
  if (entry === undefined && higher.length > 0)
    patterns.push({
      group: higher,
      message: 'this entry stands apart from the rest of its room (tools/lint/layers.js)',
    })
  return {
    files: [`libs/${room}/src/${entry === undefined ? '' : `${entry}/`}**/*.ts`],
    ignores: ['**/*.test.ts', '**/*.fixture.ts', '**/fixture.ts'], // what tests share
    rules: { 'no-restricted-imports': ['error', { patterns }] },
  }
}
const layers = [
  ...all.filter((room) => room !== 'proto').map((room) => layerOf(room, rooms[room])),
  ...Object.entries(entries).map(([entry, allowed]) => layerOf(entry, allowed)),
]

export default tseslint.config(
  { ignores: ['**/node_modules', '**/dist', 'proto/gen', '.weir', '.nx', 'coverage', '**/.vitepress/cache'] },
  js.configs.recommended,
  ...tseslint.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-undef': 'off',
      eqeqeq: 'error',
    },
  },
  {
    files: ['libs/**/src/**/*.ts'],
    languageOptions: { parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname } },
    rules: { '@typescript-eslint/no-floating-promises': 'error' },
  },
  ...layers,
  {
    files: pure.map((room) => `libs/${room}/src/**/*.ts`),
    ignores: ['**/*.test.ts', '**/testing/**'],
    rules: {
      'no-restricted-globals': [
        'error',
        'setTimeout',
        'setInterval',
        'setImmediate',
        'process',
        'performance',
        'fetch',
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'time comes in events or through the Clock port' },
        { object: 'Math', property: 'random', message: 'randomness comes through the Random port' },
      ],
    },
  },
)
