// What is installed, as package-lock.json has it: nothing whose bytes are not pinned, that comes from elsewhere, that runs code
// when it is installed, or under a licence nobody has looked at. A rule is a name and what it says of a package: null when it holds.

/** Run code at their installation, and why that is let pass. */
const INSTALL_SCRIPTS = {
  '@bufbuild/buf': 'generates the wire format; a tool',
  '@scarf/scarf': 'sends nothing: `scarfSettings` in package.json turns it off',
  'classic-level': 'LevelDB; picks the binary it comes with',
  esbuild: 'bundles jobs; checks the binary of its platform',
  'msgpackr-extract': 'picks the binary it comes with',
  nx: 'orders builds; a tool',
  protobufjs: 'looks at the version of whoever uses it',
}
const LICENCES = [
  ...['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0', 'CC0-1.0', 'ISC', 'MIT', 'MPL-2.0'],
  ...['Python-2.0', '(Apache-2.0 AND BSD-3-Clause)'],
]
/** Whose package says nothing, and what its repository says. */
const LICENCES_ELSEWHERE = { '@kafkajs/confluent-schema-registry': 'MIT' }

export const rules = {
  'its bytes are pinned': ({ integrity }) =>
    /^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? '')
      ? null
      : 'has no sha512 in `integrity`: npm would take whatever comes',

  'it is of the registry': ({ resolved }) =>
    // .npmrc has the lock file leave out what comes from there, whichever registry that is.
    resolved === undefined ? null : `is from ${resolved}, which nobody watches; take it from the registry`,

  'nothing runs when it is installed': ({ name, hasInstallScript }) =>
    !hasInstallScript || INSTALL_SCRIPTS[name] !== undefined
      ? null
      : 'runs a script when it is installed: read it, then name it in INSTALL_SCRIPTS with the reason, or use another package',

  'its licence is known': ({ name, license }) =>
    LICENCES.includes(license ?? LICENCES_ELSEWHERE[name])
      ? null
      : `has the licence ${license ?? '(none)'}: may it be used? Then name it in LICENCES`,
}

/** Packages that are installed, not those of this repository. */
const packagesOf = (lock) =>
  Object.entries(lock.packages)
    .filter(([path, { link }]) => path.includes('node_modules/') && !link)
    .map(([path, of]) => ({
      ...of,
      name: of.name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
    }))

/** @returns what is wrong, a line each: `rule: package@version what` */
export function brokenIn(lock) {
  return packagesOf(lock).flatMap((of) =>
    Object.entries(rules).flatMap(([rule, say]) => {
      const said = say(of)
      return said === null ? [] : [`${rule}: ${of.name}@${of.version} ${said}`]
    }),
  )
}

/** Exceptions that nothing needs any more. */
export function unused(lock) {
  const scripts = new Set(
    packagesOf(lock)
      .filter(({ hasInstallScript }) => hasInstallScript)
      .map(({ name }) => name),
  )
  const names = new Set(
    packagesOf(lock)
      .filter(({ license }) => license === undefined)
      .map(({ name }) => name),
  )
  return [
    ...Object.keys(INSTALL_SCRIPTS).filter((name) => !scripts.has(name)),
    ...Object.keys(LICENCES_ELSEWHERE).filter((name) => !names.has(name)),
  ].map((name) => `${name} is let pass, and is not there`)
}

/**
 * `npm audit` as JSON. @returns lines of what is vulnerable (high, critical) and not for development only; null where the
 * registry cannot be asked: not every mirror has the endpoint
 */
export function vulnerable(audit) {
  if (audit.vulnerabilities === undefined) return null
  return Object.values(audit.vulnerabilities)
    .filter(({ severity }) => severity === 'high' || severity === 'critical')
    .map(({ name, severity, range }) => `${name} ${range}: ${severity}`)
}
