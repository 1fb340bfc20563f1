/** What a URL of another store may be. */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { FolderObjectStore, openElsewhere } from './index.ts'

test('a folder is opened by its URL, with or without a slash behind it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weir else where-'))
  await new FolderObjectStore(folder).put('k', Buffer.from('there'))
  for (const url of [pathToFileURL(folder).href, `${pathToFileURL(folder).href}/`])
    expect(Buffer.from((await openElsewhere(url, {}).get('k'))!.bytes).toString()).toBe('there')
})

test.each(['file:///', 'file:///%00', 'file:///a%2Fb', 'file:///%', 'file://host/a', 'http://a/b'])(
  '%s names no folder, which is said and not tried again',
  (url) => {
    expect(() => openElsewhere(url, {})).toThrow(expect.objectContaining({ code: 'URL_INVALID', kind: 'invalid' }))
  },
)
