// A page of docs/ as a reader follows it: its code blocks in their order, and a terminal in which they are typed.
// SPDX-License-Identifier: Apache-2.0
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { atEnd, freePorts, scratch, until } from './harness.mjs';

// [{heading, language, text, saveAs?, line}] of a Markdown file. "Save as `NAME`:" just before a block makes it a file.
export function blocks(file) {
  const found = [];
  let heading = '';
  let before = '';
  let open;
  fs.readFileSync(file, 'utf8').split('\n').forEach((line, i) => {
    if (open && line === '```') {
      found.push({ ...open, text: `${open.lines.join('\n')}\n` });
      open = undefined;
      before = '';
    } else if (open) open.lines.push(line);
    else if (line.startsWith('```')) open = { heading, language: line.slice(3), saveAs: /[Ss]ave as `([^`]+)`:$/.exec(before)?.[1], line: i + 1, lines: [] };
    else {
      if (line.startsWith('#')) heading = line.replace(/^#+ /, '');
      before = line;
    }
  });
  return found;
}

// What a page shows of an output: any number may be another one, "…" stands for anything.
export function shows(shown, output) {
  const plain = (text) => text.replace(/[\d,.]*\d(ms|s|m)?/g, '#').replace(/\s+/g, ' ');
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const pattern = plain(shown).trim().split(/ ?… ?/).map(escaped).join('[^]*');
  return new RegExp(pattern).test(plain(output));
}

// With a network of its own a terminal has every port for itself, and the page is typed as it stands.
const ownNetwork = process.env.COALMINE_SHARED_NETWORK === undefined && spawnSync('unshare', ['-n', 'ip', 'link', 'set', 'lo', 'up']).status === 0;

// A bash in which what was started with & runs on, as in a terminal.
export class Terminal {
  static async open(t, dir, env, replacements = {}) {
    const self = new Terminal();
    self.notes = scratch(t);
    self.replacements = Object.entries(replacements);
    if (!ownNetwork) await self.movePorts([7070, 4317, 4318, 8080, 8081, 8082], env);
    const [command, ...args] = [...(ownNetwork ? ['unshare', '-n'] : []), 'bash', '--noprofile', '--norc'];
    // The leader of a group, so that everything that it starts ends with it.
    self.shell = spawn(command, args, { cwd: dir, env, stdio: ['pipe', 'ignore', 'inherit'], detached: true });
    self.shell.once('exit', (code) => (self.ended = code ?? 'killed'));
    atEnd(t, () => { try { process.kill(-self.shell.pid, 'SIGKILL'); } catch { /* it has ended */ } });
    if (ownNetwork) await self.type('ip link set lo up\n');
    return self;
  }

  // Other ports than the page's, written in their place.
  async movePorts(wanted, env) {
    const ports = await freePorts(wanted.length);
    this.replacements.push(['coalmine serve', 'coalmine serve --listen :7070 --otlp-grpc :4317 --otlp-http :4318']);
    wanted.forEach((port, i) => this.replacements.push([new RegExp(`\\b${port}\\b`, 'g'), `${ports[i]}`]));
    env.COALMINE_SERVER = `http://127.0.0.1:${ports[0]}`;
  }

  replaced(text) { return this.replacements.reduce((all, [from, to]) => all.replaceAll(from, to), text); }

  // Types the lines; {output, failed: ["COMMAND: exit code"]} when the last one is done.
  async type(text, seconds = 60) {
    const step = path.join(this.notes, `step-${this.steps = (this.steps ?? 0) + 1}`);
    fs.writeFileSync(`${step}.failed`, '');
    const noted = `trap 'echo "$BASH_COMMAND: $?" >>${step}.failed' ERR\n${this.replaced(text)}\ntrap - ERR\n`;
    fs.writeFileSync(`${step}.sh`, noted);
    this.shell.stdin.write(`: >${step}.failed; . ${step}.sh </dev/null >${step}.out 2>&1; : >${step}.done\n`);
    await until(`the end of: ${text}`, () => {
      if (this.ended !== undefined) throw new Error(`the terminal ended: ${this.ended}`);
      return fs.existsSync(`${step}.done`);
    }, seconds).catch((error) => { throw new Error(`${error.message}\n${fs.readFileSync(`${step}.out`, 'utf8')}`); });
    return { output: fs.readFileSync(`${step}.out`, 'utf8'), failed: fs.readFileSync(`${step}.failed`, 'utf8').trim().split('\n').filter(Boolean) };
  }

  // A file of the page, in the folder that the terminal is in.
  async save(name, text) {
    const { output } = await this.type('pwd\n');
    fs.writeFileSync(path.join(output.trim(), name), this.replaced(text));
  }
}
