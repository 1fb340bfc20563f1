// `npm test`: sets itself up, runs every suite, ends with the line "N passed, N failed" over all of them.
// A step that is no vitest suite (build, type check of tests, lint) counts as one test.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { ensureInstalled, pinnedNode, root } from './setup.mjs'

const SUITE_TIMEOUT_MS = 20 * 60_000
let passed = 0
let failed = 0
/** Said again at the end: a log that is cut shows its end. */
const failures = []
ensureInstalled()
const node = pinnedNode()
const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}`, NX_DAEMON: 'false' }

function step(name, args) {
  const { status } = spawnSync(node, args, { cwd: root, stdio: 'inherit', timeout: SUITE_TIMEOUT_MS, env })
  if (status === 0) passed++
  else {
    failed++
    failures.push(`step ${name}`)
  }
  console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${name}`)
}

function suite(project) {
  const dir = mkdtempSync(join(tmpdir(), 'weir-test-'))
  const report = join(dir, 'report.json')
  const args = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]
  const { status } = spawnSync(node, args, { cwd: root, stdio: 'inherit', timeout: SUITE_TIMEOUT_MS, env })
  try {
    const { numPassedTests, numFailedTests, numFailedTestSuites, testResults } = JSON.parse(
      readFileSync(report, 'utf8'),
    )
    passed += numPassedTests
    // A file that does not even load has no failed test, and is a failure all the same.
    failed += numFailedTests || (status === 0 ? 0 : Math.max(1, numFailedTestSuites))
    for (const { name, status: of, message, assertionResults } of testResults) {
      const file = relative(root, name)
      const tests = assertionResults.filter((test) => test.status === 'failed')
      for (const test of tests) failures.push(`${file} > ${test.fullName}\n${brief(test.failureMessages)}`)
      if (of === 'failed' && tests.length === 0) failures.push(`${file}\n${brief([message])}`)
    }
    if (status !== 0 && numFailedTests === 0 && numFailedTestSuites === 0)
      failures.push(`suite ${project}: exit ${status}`)
  } catch {
    failed++
    failures.push(`suite ${project}: no report`)
    console.log(`FAILED suite ${project}: no report (exit ${status})`)
  }
  rmSync(dir, { recursive: true, force: true })
}

const brief = (messages) =>
  messages
    .join('\n')
    .split('\n')
    .slice(0, 12)
    .map((line) => `    ${line}`)
    .join('\n')

step('build', ['tools/build.mjs'])
step('types of tests', ['node_modules/typescript-native/bin/tsc', '-p', 'tsconfig.test.json'])
step('lint', ['node_modules/eslint/bin/eslint.js', '.', '--max-warnings', '0'])
step('packages', ['tools/check-packages.mjs'])
step('format', ['node_modules/prettier/bin/prettier.cjs', '--check', '.', '--log-level', 'warn'])
suite('unit')
const before = JSON.parse(spawnSync(node, ['tools/stack/stack.mjs', 'status'], { cwd: root }).stdout.toString())
step('real servers', ['tools/stack/stack.mjs', 'up'])
step('browser', ['tools/browser.mjs'])
suite('integration')
suite('e2e')
// Only what this run started is stopped by it.
if (Object.values(before).every((server) => server === null))
  spawnSync(node, ['tools/stack/stack.mjs', 'down'], { cwd: root, stdio: 'inherit' })
for (const failure of failures) console.log(`FAILED ${failure}`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
