/**
 * Claims of one batch in one script, so one round trip and atomic: `decideClaim`, in the words of Redis. The first claim of a key,
 * which most are, is one command; the rest is looked at only where something is there already.
 *
 *     KEYS   one per claim, all of one hash slot (in a cluster)
 *     ARGV   ttl ms · window ms · JSON array of as many texts (`claim-text.ts`): one argument costs both sides less than a thousand
 *     answer outcomes as letters, one per claim · what is there, for each duplicate and conflict
 *
 * A dead mark lies beside the claims, under `{tag}:d:<origin>`, in each slot the namespace uses: who marks does not know the key.
 */
export const CLAIM_SCRIPT = `
local FORM = '^1 (%S+) (%-?%d+) (%d+) (%d+) (.*)$'
local call, match = redis.call, string.match
local ttl, window, texts = ARGV[1], tonumber(ARGV[2]), cjson.decode(ARGV[3])
local outcomes, held = {}, {}
for i = 1, #KEYS do
  local key, text = KEYS[i], texts[i]
  local outcome = 'F'
  if not call('SET', key, text, 'NX', 'PX', ttl) then
    local there = call('GET', key)
    local print, time, generation, attempt, origin = match(there, FORM)
    if not print then return redis.error_reply('CLAIMSFOREIGN ' .. i) end
    local print2, time2, generation2, attempt2, origin2 = match(text, FORM)
    local write = text
    if origin == origin2 then
      outcome = 'R'
      local newer, newer2 = tonumber(generation), tonumber(generation2)
      if newer > newer2 or (newer == newer2 and tonumber(attempt) > tonumber(attempt2)) then
        write = '1 ' .. print2 .. ' ' .. time2 .. ' ' .. generation .. ' ' .. attempt .. ' ' .. origin
      end
    elseif math.abs(tonumber(time) - tonumber(time2)) >= window then
      outcome = 'F'
    elseif call('GET', match(key, '^[^}]*}') .. ':d:' .. origin) == generation .. ' ' .. attempt then
      outcome = 'H'
    elseif print == print2 then
      outcome = 'D'
    else
      outcome = 'C'
    end
    if outcome == 'D' or outcome == 'C' then
      held[#held + 1] = there
    else
      call('SET', key, write, 'PX', ttl)
    end
  end
  outcomes[i] = outcome
end
return { table.concat(outcomes), held }
`

/** KEYS the marks, of one slot; ARGV ttl ms · generation · attempt. A mark of a newer attempt stays. */
export const DEAD_SCRIPT = `
local generation, attempt = tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 1, #KEYS do
  local there = redis.call('GET', KEYS[i])
  local g, a = string.match(there or '0 0', '^(%d+) (%d+)$')
  if not g then return redis.error_reply('CLAIMSFOREIGN ' .. i) end
  if not (tonumber(g) > generation or (tonumber(g) == generation and tonumber(a) > attempt)) then
    redis.call('SET', KEYS[i], ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[1])
  end
end
return #KEYS
`

/** KEYS one · ARGV the expected text, or '' · whether one is expected, 1 or 0 · the new text · ttl ms. Answers nil, or what is there: '' nothing, else ':' and it. */
export const SWAP_SCRIPT = `
local there = redis.call('GET', KEYS[1])
local isExpected = (there == false and ARGV[2] == '0') or (ARGV[2] == '1' and there == ARGV[1])
if isExpected or there == ARGV[3] then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
  return false
end
if there == false then return '' end
return ':' .. there
`

/** KEYS one · ARGV the text. 1: nothing is there now. */
export const RELEASE_SCRIPT = `
local there = redis.call('GET', KEYS[1])
if there == ARGV[1] then redis.call('DEL', KEYS[1]) return 1 end
if there == false then return 1 end
return 0
`

/** KEYS one per entry · ARGV ttl and text of each. Answers, for each, '' for won, else ':' and what is there. */
export const PUT_SCRIPT = `
local answers = {}
for i = 1, #KEYS do
  local ttl, text = ARGV[2 * i - 1], ARGV[2 * i]
  local answer = ''
  if not redis.call('SET', KEYS[i], text, 'NX', 'PX', ttl) then
    local there = redis.call('GET', KEYS[i])
    if there == text then redis.call('PEXPIRE', KEYS[i], ttl) else answer = ':' .. there end
  end
  answers[i] = answer
end
return answers
`
