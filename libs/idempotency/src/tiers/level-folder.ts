/** Opening a LevelDB folder, and setting a damaged one aside: it is renamed, never deleted, since somebody may want to look. */
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { WeirError } from '@weir/model'

/** Of one folder; more say that the disk is the problem. */
export const SET_ASIDE_MAX = 8

export class LevelDamage extends Error {}

/** Throws `LevelDamage`, `CLAIM_TIER_LOCKED` (invalid), or what the operating system says. */
export async function openLevel(folder: string): Promise<ClassicLevel> {
  await mkdir(dirname(folder), { recursive: true })
  const level = new ClassicLevel(folder, { keyEncoding: 'utf8', valueEncoding: 'utf8' })
  try {
    await level.open()
    return level
  } catch (error) {
    await level.close().catch(() => undefined)
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    if ((cause as { code?: string }).code === 'LEVEL_LOCKED')
      throw new WeirError(
        { code: 'CLAIM_TIER_LOCKED', kind: 'invalid', folder },
        `${folder} is open in another process: give each process a folder of its own`,
        { cause },
      )
    if (isDamage(cause)) throw new LevelDamage(String(cause))
    throw error
  }
}

/** @returns where it is now. Throws `CLAIM_TIER_CORRUPT` (invalid) when that has happened too often. */
export async function setAside(folder: string, why: string): Promise<string> {
  const others = asideOf(folder)
  if (others.length >= SET_ASIDE_MAX)
    throw new WeirError(
      { code: 'CLAIM_TIER_CORRUPT', kind: 'invalid', tier: 'leveldb', folder, why },
      `${folder} is damaged again (${why}), ${others.length} were set aside before: look at the disk, then delete ${folder}.damaged-*`,
    )
  const to = `${folder}.damaged-${others.length + 1}`
  await rename(folder, to)
  return to
}

/** A full disk, missing rights and too many open files are no damage: they pass, or somebody mends them, and the data is there. */
export const isDamage = (error: unknown): boolean =>
  error instanceof LevelDamage ||
  (error as { code?: string }).code === 'LEVEL_CORRUPTION' ||
  /Corruption|No such file|does not exist \(create_if_missing/.test(String(error))

function asideOf(folder: string): string[] {
  const parent = dirname(folder)
  if (!existsSync(parent)) return []
  return readdirSync(parent)
    .filter((name) => name.startsWith(`${basename(folder)}.damaged-`))
    .map((name) => join(parent, name))
}
