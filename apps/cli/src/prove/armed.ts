/**
 * Which crash is next, told between `weir prove` and the processes of its fleet by a folder: they are many, one of them is to die, and it
 * dies at once. Every process that comes by the point counts; the first one at the n-th time makes the crash's file, and is the victim.
 *
 *   armed.json     the crashes of this run, in turn
 *   RUN.0          the first of them has happened
 */
import { closeSync, existsSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CRASH_POINTS, type Crash, type CrashPoint, type Role } from './points.ts'

/** In the environment of a process, JSON of a Post. */
export const CRASH_VARIABLE = 'WEIR_PROVE_CRASH'

export interface Post {
  readonly folder: string
  readonly role: Role
}

interface Armed {
  readonly run: string
  readonly crashes: readonly Crash[]
}

const armedFile = (folder: string): string => join(folder, 'armed.json')
const happenedFile = (folder: string, run: string, turn: number): string => join(folder, `${run}.${turn}`)

/** From now on. A name of a run is used once. */
export function arm(folder: string, armed: Armed): void {
  writeFileSync(join(folder, 'next.json'), JSON.stringify(armed))
  renameSync(join(folder, 'next.json'), armedFile(folder)) // never read by halves
}

/** How many of a run have happened. */
export function happened(folder: string, { run, crashes }: Armed): number {
  const next = crashes.findIndex((_, turn) => !existsSync(happenedFile(folder, run, turn)))
  return next < 0 ? crashes.length : next
}

/** In a process of the fleet: is this the moment? */
export class Trap {
  readonly #post: Post
  /** Of which crash the times are counted. */
  #counting = ''
  #met = 0

  constructor(post: Post) {
    this.#post = post
  }

  /** True once in a run and turn, in one process of all: it is to die. */
  springs(at: CrashPoint['at'], type: string): boolean {
    const { folder, role } = this.#post
    if (!isWatched(role, at, type) || !existsSync(armedFile(folder))) return false
    const armed = JSON.parse(readFileSync(armedFile(folder), 'utf8')) as Armed
    const turn = happened(folder, armed)
    const crash = armed.crashes[turn]
    if (crash === undefined || !isAt(CRASH_POINTS[crash.point], role, at, type)) return false
    const counting = `${armed.run}.${turn}`
    if (this.#counting !== counting) [this.#counting, this.#met] = [counting, 0]
    return ++this.#met >= crash.nth && isFirst(happenedFile(folder, armed.run, turn))
  }
}

const isAt = (point: CrashPoint, role: Role, at: string, type: string): boolean =>
  point.of === role && point.at === at && point.type === type

const isWatched = (role: Role, at: string, type: string): boolean =>
  Object.values(CRASH_POINTS).some((point) => isAt(point, role, at, type))

function isFirst(file: string): boolean {
  try {
    closeSync(openSync(file, 'wx'))
    return true
  } catch {
    return false // another process of the fleet was
  }
}
