// Renders avatars of four styles into folders that `python -m training.run --conditional` reads, and a table of their options.
//
//     node render.mjs --out ../../data/avatars                       10,000 of each style, and 2,000 more that are held out
//     node render.mjs --out small --each 500 --held-out 50 --size 32
//
// An avatar is a function of its style and number: the same arguments write the same files, on any machine. Files that are there
// already are kept, so that a render which was stopped goes on where it was. Numbers from HELD_OUT_FROM on are held out.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { createAvatar } from '@dicebear/core';
import * as lorelei from '@dicebear/lorelei';
import * as notionists from '@dicebear/notionists';
import * as openPeeps from '@dicebear/open-peeps';
import * as pixelArt from '@dicebear/pixel-art';
import { Resvg } from '@resvg/resvg-js';

const STYLES = { lorelei, notionists, 'open-peeps': openPeeps, 'pixel-art': pixelArt }; // all in the public domain (CC0 1.0)
const BACKGROUNDS = ['b6e3f4', 'ffd5dc', 'd1f4d1', 'ffdfbf', 'c0aede', 'fff2a8'];
const HELD_OUT_FROM = 1_000_000_000;
const DONE = 500; // avatars between two lines of progress

const USAGE = `usage: node render.mjs --out FOLDER [--each N] [--held-out N] [--size PIXELS] [--styles ${Object.keys(STYLES).join(',')}]
                      [--backgrounds ${BACKGROUNDS.join(',')}]`;

function refuse(message) {
  console.error(`render.mjs: ${message}\n${USAGE}`);
  process.exit(2);
}

function wholeNumber(name, text, least) {
  if (!/^\d+$/.test(text) || Number(text) < least || Number(text) >= HELD_OUT_FROM) {
    refuse(`--${name} ${text}: give a whole number, ${least} or more`);
  }
  return Number(text);
}

function parse() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        out: { type: 'string' },
        each: { type: 'string', default: '10000' },
        'held-out': { type: 'string', default: '2000' },
        size: { type: 'string', default: '64' },
        styles: { type: 'string', default: Object.keys(STYLES).join(',') },
        backgrounds: { type: 'string', default: BACKGROUNDS.join(',') },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    refuse(error.message);
  }
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  if (!values.out) refuse('--out: give a folder for the avatars');
  const styles = values.styles.split(',');
  for (const style of styles) if (!(style in STYLES)) refuse(`--styles: there is no ${style}; there are ${Object.keys(STYLES)}`);
  const backgrounds = values.backgrounds.split(',');
  for (const colour of backgrounds) if (!/^[0-9a-f]{6}$/.test(colour)) refuse(`--backgrounds: ${colour} is no colour; write b6e3f4`);
  return {
    out: values.out,
    each: wholeNumber('each', values.each, 1),
    heldOut: wholeNumber('held-out', values['held-out'], 0),
    size: wholeNumber('size', values.size, 8),
    styles,
    backgrounds,
  };
}

// The options by which the design was drawn: which hair, which glasses or none, which colours
function optionsOf(avatar) {
  const { backgroundType, backgroundRotation, secondaryBackgroundColor, primaryBackgroundColor, ...parts } = avatar.toJson().extra;
  return { background: primaryBackgroundColor, ...parts };
}

// DiceBear's random numbers begin alike for seeds that are alike; digests are not.
function draw(style, number, { size, backgrounds }) {
  const seed = createHash('sha256').update(`${style}-${number}`).digest('hex');
  return createAvatar(STYLES[style], { seed, size, backgroundColor: backgrounds });
}

// Written elsewhere first, so that a file which is there is whole
function write(path, content) {
  writeFileSync(`${path}.part`, content);
  renameSync(`${path}.part`, path);
}

function* avatars({ each, heldOut, styles }) {
  for (const [part, first, count] of [['train', 0, each], ['test', HELD_OUT_FROM, heldOut]]) {
    for (const style of styles) for (let k = 0; k < count; k++) yield { part, style, number: first + k };
  }
}

function render(given) {
  const total = given.styles.length * (given.each + given.heldOut);
  const rows = [];
  const columns = new Set(['file', 'style', 'number']);
  const started = Date.now();
  let drawn = 0;
  for (const { part, style, number } of avatars(given)) {
    const folder = join(given.out, part, style);
    mkdirSync(folder, { recursive: true });
    const name = `${style}-${String(number).padStart(10, '0')}.png`;
    const avatar = draw(style, number, given);
    const options = optionsOf(avatar);
    for (const option of Object.keys(options)) columns.add(option);
    rows.push({ file: `${part}/${style}/${name}`, style, number, ...options });
    if (!existsSync(join(folder, name))) {
      write(join(folder, name), new Resvg(avatar.toString(), { fitTo: { mode: 'width', value: given.size } }).render().asPng());
      drawn += 1;
    }
    if (rows.length % DONE === 0 || rows.length === total) {
      const left = ((Date.now() - started) / 1000 / rows.length) * (total - rows.length);
      process.stderr.write(`\r${rows.length} of ${total} avatars, some ${Math.ceil(left)} s left   `);
    }
  }
  process.stderr.write('\n');
  const table = [[...columns].join(','), ...rows.map((row) => [...columns].map((column) => row[column] ?? '').join(','))];
  write(join(given.out, 'options.csv'), `${table.join('\n')}\n`);
  console.log(`${given.out}: ${total} avatars, ${drawn} of them new, and options.csv`);
}

render(parse());
