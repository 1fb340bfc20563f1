// The browser that tests of pages drive: Debian's, installed where this user may.
import { need } from './install.mjs'

if (!process.env.CHROMIUM) need('chromium', '--version', ['chromium'])
