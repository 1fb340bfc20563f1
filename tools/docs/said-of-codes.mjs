// What is said with a code, found where the code stands in the source: the kind of its error and its words. Codes are given to errors in many ways: as a property of
// facts, to a function that makes the error, in a table, as a problem or a diagnosis. Followed is what names follow: constants, parameters, functions of this code.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { root } from '../setup.mjs'

/** Functions that make something else than an error of the code they are given, and what: it stands where a kind would. */
const OTHER_KINDS = { raise: 'alert', found: 'finding' }
/** So many functions that hand a code on to the next. */
const DEPTH_MAX = 3

const parsed = new Map()
/** @param text of the file, where it is at hand */
export function parse(file, text = readFileSync(join(root, file), 'utf8')) {
  if (!parsed.has(file)) parsed.set(file, ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true))
  return parsed.get(file)
}

/** @returns {{ kinds: Set<string>, texts: Set<string> }} of one place, `node`: a code, or a name that has it. */
export function saidOf(node, depth = 0) {
  const at = outward(node)
  const { parent } = at
  if (ts.isShorthandPropertyAssignment(parent) || (ts.isPropertyAssignment(parent) && parent.name.getText() === 'code'))
    return ofFacts(parent.parent)
  if (ts.isCallExpression(parent) || ts.isNewExpression(parent)) return ofArgument(at, parent, depth)
  if (ts.isArrayLiteralExpression(parent)) return said([], sentences(parent.elements))
  const named = ts.isVariableDeclaration(parent) ? parent : tableOf(parent)
  if (!named || !ts.isIdentifier(named.name) || depth >= DEPTH_MAX) return said()
  return together(uses(named.name.text, named.getSourceFile()).map((use) => saidOf(use, depth + 1)))
}

const said = (kinds = [], texts = []) => ({ kinds: new Set(kinds), texts: new Set(texts) })
const together = (all) =>
  said(
    all.flatMap(({ kinds }) => [...kinds]),
    all.flatMap(({ texts }) => [...texts]),
  )

/** Past what only chooses or converts. */
export function outward(node) {
  const { parent } = node
  const isChoice =
    ts.isConditionalExpression(parent) || parent.operatorToken?.kind === ts.SyntaxKind.QuestionQuestionToken
  const isLookedUp = ts.isElementAccessExpression(parent) && parent.expression === node
  return isChoice || isLookedUp || ts.isParenthesizedExpression(parent) || ts.isAsExpression(parent)
    ? outward(parent)
    : node
}

/** Null: no value of an object that has a name. */
function tableOf(property) {
  const of = ts.isPropertyAssignment(property) ? property.parent.parent : null
  return of && ts.isVariableDeclaration(of) ? of : null
}

/** `{ code, kind, message }`, or `{ code, kind }` in front of its message. A remedy stands behind what a server has said. */
function ofFacts(facts) {
  const told = (name) => {
    const property = facts.properties.find((of) => of.name?.getText() === name)
    if (!property) return []
    return textsOf(ts.isShorthandPropertyAssignment(property) ? property.name : property.initializer)
  }
  const own = [...told('message'), ...told('remedy').map((text) => `… ${text}`.trim())]
  const call = facts.parent
  const beside = ts.isNewExpression(call) || ts.isCallExpression(call) ? sentences(call.arguments) : []
  return said(told('kind'), own.length > 0 ? own : beside)
}

function ofArgument(argument, call, depth) {
  const name = call.expression.getText().split('.').at(-1)
  if (name === 'asWeirError') return said(call.arguments[2] ? textsOf(call.arguments[2]) : ['restart'])
  if (name === 'looker') return ofLooker(call)
  const kinds = name in OTHER_KINDS ? [OTHER_KINDS[name]] : []
  const own = said(kinds, sentences(call.arguments))
  const maker = ts.isIdentifier(call.expression) ? functionOf(call.expression) : null
  const parameter = maker?.parameters[call.arguments.indexOf(argument)]?.name
  if (!parameter || !ts.isIdentifier(parameter) || depth >= DEPTH_MAX) return own
  const made = together(uses(parameter.text, maker).map((use) => saidOf(use, depth + 1)))
  return own.texts.size > 0 ? said([...kinds, ...made.kinds], own.texts) : together([own, made])
}

/** Diagnoses: what is found is told with a severity, where the code stands or in a function it is handed to. */
function ofLooker(call) {
  const { parent } = call
  const isHandedOn = ts.isCallExpression(parent) && ts.isIdentifier(parent.expression)
  const name = ts.isVariableDeclaration(parent) ? parent.name.getText() : null
  const bodies = new Set([isHandedOn ? functionOf(parent.expression) : ts.findAncestor(call, ts.isFunctionLike)])
  const found = { kinds: new Set(), texts: new Set() }
  for (const body of bodies)
    each(body, (node) => {
      if (!ts.isCallExpression(node)) return
      const severity = node.expression.getText().split('.').at(-1)
      if (severity === 'warning' || severity === 'unsafe') {
        found.kinds.add(severity)
        for (const text of textsOf(node.arguments[0])) found.texts.add(text)
      } else if (ts.isIdentifier(node.expression) && node.arguments.some((of) => of.getText() === name))
        bodies.add(functionOf(node.expression))
    })
  return found
}

/** The first of several that is a text of some words. */
const sentences = (nodes) =>
  nodes.map((node) => textsOf(node)).find((texts) => texts.some((text) => /\S \S/.test(text))) ?? []

/** What a text may be, `…` for what differs; none: it is not told here. */
function textsOf(node, depth = 0) {
  if (ts.isStringLiteralLike(node)) return [node.text]
  if (ts.isTemplateExpression(node))
    return [
      (node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join('')).replaceAll(/…+/g, '…'),
    ]
  if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node)) return textsOf(node.expression, depth)
  if (ts.isConditionalExpression(node)) return [node.whenTrue, node.whenFalse].flatMap((of) => textsOf(of, depth))
  if (ts.isArrayLiteralExpression(node))
    return joined(
      node.elements.map((of) => textsOf(of, depth)),
      ' ',
    )
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken)
    return joined(
      [node.left, node.right].map((of) => textsOf(of, depth)),
      '',
    )
  if (
    ts.isCallExpression(node) &&
    ts.isPropertyAccessExpression(node.expression) &&
    node.expression.name.text === 'join'
  )
    return textsOf(node.expression.expression, depth)
  if (ts.isIdentifier(node) && depth < DEPTH_MAX) return namedTexts(node, depth + 1)
  return []
}
const joined = (parts, by) =>
  parts.every((texts) => texts.length === 0) ? [] : [parts.map(([first = '…']) => first).join(by)]

function namedTexts(name, depth) {
  const declared = declarationOf(name)
  if (declared === null) return []
  if (ts.isVariableDeclaration(declared)) return declared.initializer ? textsOf(declared.initializer, depth) : []
  // A parameter: what its function is called with.
  const maker = declared.parent
  const called = ts.isVariableDeclaration(maker.parent) ? maker.parent.name : maker.name
  if (!called) return []
  return uses(called.getText(), maker.getSourceFile())
    .filter((use) => ts.isCallExpression(use.parent) && use.parent.expression === use)
    .flatMap((use) => use.parent.arguments[maker.parameters.indexOf(declared)] ?? [])
    .flatMap((argument) => textsOf(argument, depth))
}

/** A constant or a parameter, of the nearest block that has it. */
function declarationOf(name) {
  for (let scope = name.parent; scope; scope = scope.parent) {
    const parameter = ts.isFunctionLike(scope) && scope.parameters.find((of) => of.name.getText() === name.text)
    if (parameter) return parameter
    const statements = scope.statements ?? []
    for (const statement of statements)
      for (const of of ts.isVariableStatement(statement) ? statement.declarationList.declarations : [])
        if (of.name.getText() === name.text) return of
  }
  return null
}

/** The function of that name: of the file, or of the one it is imported from. Null: of a package, or a method. */
function functionOf(name, file = name.getSourceFile()) {
  for (const statement of file.statements) {
    if (ts.isFunctionDeclaration(statement) && statement.name?.text === name.text) return statement
    if (ts.isVariableStatement(statement))
      for (const { name: of, initializer } of statement.declarationList.declarations)
        if (of.getText() === name.text && initializer && ts.isArrowFunction(initializer)) return initializer
    const imported = ts.isImportDeclaration(statement) ? statement.importClause?.namedBindings?.elements : undefined
    if (imported?.some((of) => of.name.text === name.text) && statement.moduleSpecifier.text.startsWith('.'))
      return functionOf(name, parse(join(dirname(file.fileName), statement.moduleSpecifier.text)))
  }
  const local = file === name.getSourceFile() ? declarationOf(name) : null
  return local?.initializer && ts.isArrowFunction(local.initializer) ? local.initializer : null
}

/** Where a name is used within a node, not where it is declared. */
function uses(name, within) {
  const found = []
  each(within, (node) => {
    if (!ts.isIdentifier(node) || node.text !== name) return
    const { parent } = node
    const isDeclared = (ts.isVariableDeclaration(parent) || ts.isParameter(parent)) && parent.name === node
    const isProperty =
      (ts.isPropertyAccessExpression(parent) || ts.isPropertyAssignment(parent)) && parent.name === node
    if (!isDeclared && !isProperty) found.push(node)
  })
  return found
}

function each(node, visit) {
  visit(node)
  ts.forEachChild(node, (child) => each(child, visit))
}
