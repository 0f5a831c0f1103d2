// Where package managers find what a page tells a reader to install: the pinned packages of this tree, without a network.
// SPDX-License-Identifier: Apache-2.0
//
// node packages.mjs FILE: an npm registry of the packages in node_modules, as package-lock.json names them; writes its address into FILE.
import { execFileSync, spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './harness.mjs';

const pinned = path.join(root, 'tests/stacks');
const pinnedIn = (file, pattern) => pattern.exec(fs.readFileSync(path.join(pinned, file), 'utf8'))[1];

export const has = (...commands) => commands.every((command) => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0);

// build/packages/NAME-HASH, filled once for what is pinned in `version`.
function filled(name, version, fill) {
  const hash = crypto.createHash('sha256').update(version).digest('hex').slice(0, 12);
  const folder = path.join(root, 'build/packages', `${name}-${hash}`);
  if (fs.existsSync(folder)) return folder;
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  const part = fs.mkdtempSync(`${folder}.part-`);
  fill(part);
  fs.renameSync(part, folder);
  return folder;
}

const run = (command, args, options = {}) => execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options });

// Each gives {env, replacements}: what a terminal needs so that the page's own commands find the pinned packages.
export function python() {
  const file = path.join(pinned, 'python/requirements.txt');
  const wheels = filled('python', fs.readFileSync(file, 'utf8'), (folder) => {
    const venv = fs.mkdtempSync(path.join(os.tmpdir(), 'coalmine-venv-'));
    run('python3', ['-m', 'venv', venv]);
    run(`${venv}/bin/pip`, ['download', '--quiet', '--require-hashes', '--only-binary', ':all:', '--no-deps', '--dest', folder, '--requirement', file]);
    fs.rmSync(venv, { recursive: true });
  });
  return { env: { PIP_NO_INDEX: '1', PIP_FIND_LINKS: wheels, PIP_DISABLE_PIP_VERSION_CHECK: '1' } };
}

export function java() {
  const name = 'opentelemetry-javaagent';
  const version = pinnedIn('spring/pom.xml', /opentelemetry-javaagent<\/artifactId>\s*<version>([^<]+)/);
  const wanted = pinnedIn('install.sh', /^agent_sha256=(\w+)$/m);
  const folder = filled('java', wanted, (into) => {
    run('mvn', ['--batch-mode', '--quiet', 'dependency:copy', `-Dartifact=io.opentelemetry.javaagent:${name}:${version}`,
      '-Dmdep.stripVersion=true', `-DoutputDirectory=${into}`], { cwd: into });
    const sha256 = crypto.createHash('sha256').update(fs.readFileSync(path.join(into, `${name}.jar`))).digest('hex');
    if (sha256 !== wanted) throw new Error(`${name} ${version} has SHA-256 ${sha256}, not ${wanted}`);
  });
  return { replacements: { 'https://github.com/open-telemetry/opentelemetry-java-instrumentation/releases/latest/download': `file://${folder}` } };
}

export function go() {
  const files = ['go.mod', 'go.sum'].map((name) => path.join(pinned, 'go', name));
  const cache = filled('go', files.map((file) => fs.readFileSync(file, 'utf8')).join(''), (folder) => {
    for (const file of files) fs.copyFileSync(file, path.join(folder, path.basename(file)));
    run('go', ['mod', 'download'], { cwd: folder, env: { ...process.env, GOMODCACHE: path.join(folder, 'cache'), GOFLAGS: '-modcacherw' } });
  });
  // Compiled packages are kept between readers; without -trimpath their folder would be a part of what they are.
  const compiled = execFileSync('go', ['env', 'GOCACHE'], { encoding: 'utf8' }).trim();
  return { env: { GOPROXY: `file://${cache}/cache/cache/download`, GOSUMDB: 'off', GOFLAGS: '-modcacherw -trimpath', GOTOOLCHAIN: 'local', GOCACHE: compiled } };
}

// The Node.js that runs this is the reader's.
export const nodejs = () => ({
  env: { PATH: `${path.dirname(process.execPath)}:${process.env.PATH}` },
  before: `"${process.execPath}" "${import.meta.filename}" registry &
while [ ! -e registry ]; do :; done
export npm_config_registry=$(cat registry)
`,
});

// {name: {version: folder}}
function installed() {
  const packages = {};
  const { packages: locked } = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8'));
  for (const [where, { version, link }] of Object.entries(locked)) {
    if (where === '' || link || !fs.existsSync(path.join(root, where))) continue;
    const name = where.slice(where.lastIndexOf('node_modules/') + 'node_modules/'.length);
    (packages[name] ??= {})[version] = path.join(root, where);
  }
  return packages;
}

function npmRegistry(addressFile) {
  const packages = installed();
  // The version that the project itself asks for, before one that only another package needs.
  const latest = (name) => Object.entries(packages[name]).sort((a, b) => a[1].length - b[1].length)[0][0];
  const server = http.createServer((request, response) => {
    const [name, version] = decodeURIComponent(request.url.slice(1)).split('?')[0].split('/-/');
    if (!packages[name]) return response.writeHead(404).end();
    if (version) {
      const folder = packages[name][version];
      return response.end(execFileSync('tar', ['-cz', '--exclude=./node_modules', '--transform=s,^\\.,package,', '-C', folder, '.'], { maxBuffer: 1 << 28 }));
    }
    const versions = Object.fromEntries(Object.entries(packages[name]).map(([v, folder]) => [v, {
      ...JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')),
      dist: { tarball: `${address}/${encodeURIComponent(name)}/-/${v}` },
    }]));
    response.end(JSON.stringify({ name, versions, 'dist-tags': { latest: latest(name) } }));
  });
  let address;
  server.listen(0, '127.0.0.1', () => {
    address = `http://127.0.0.1:${server.address().port}`;
    fs.writeFileSync(`${addressFile}.part`, address);
    fs.renameSync(`${addressFile}.part`, addressFile);
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) npmRegistry(process.argv[2]);
