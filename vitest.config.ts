import { defineConfig } from 'vitest/config'

const resolve = { conditions: ['@weir/source', 'node'] }
const ssr = { resolve: { conditions: ['@weir/source', 'node'] } }
const servers = '{kafka,etcd,s3,redis,postgres,stack,fleet}'

// Tiers by name: `*.test.ts` beside the source needs nothing; `*.kafka.test.ts` needs what its name says and fails,
// telling how to start it, when it is missing.
//
// Bounds of time, those of `expect.poll` too, are for what never comes: how fast a machine is, no test says.
export default defineConfig({
  test: {
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: 'unit',
          include: [
            '{libs,apps,tools}/**/src/**/*.test.ts',
            'tools/**/*.test.ts',
            'test/{bench,compat,exploration,mutation,simulation,checkers,chaos,nexmark}/**/*.test.ts',
          ],
          exclude: ['**/node_modules/**', '**/dist/**', `**/*.${servers}.test.ts`],
          // By itself vitest leaves a core for others: of two that is half of the machine.
          maxWorkers: 2,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          expect: { poll: { timeout: 45_000 } },
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'integration',
          include: [`{libs,apps}/**/src/**/*.${servers}.test.ts`, `test/integration/**/*.${servers}.test.ts`],
          exclude: ['**/node_modules/**', '**/dist/**'],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          expect: { poll: { timeout: 45_000 } },
        },
      },
      {
        resolve,
        ssr,
        // Builds the clients of others first: `npm run check:tikv`, no part of `npm test`.
        test: {
          name: 'tikv',
          include: ['test/tikv/clients/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 600_000,
        },
      },
      {
        resolve,
        ssr,
        // Programs of others, built first: `npm run check:deploy`, no part of `npm test`.
        test: {
          name: 'deploy',
          include: ['test/deploy/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**'],
          // Half of their time is waiting for leases and timeouts of servers: two fleets have room on two cores.
          maxWorkers: 2,
          testTimeout: 300_000,
          hookTimeout: 120_000,
          expect: { poll: { timeout: 120_000 } },
        },
      },
    ],
  },
})
