/**
 * Puts SwiftShader, a Vulkan device made of software (Apache-2.0), and the Vulkan loader into .cache/swiftshader/, out of Debian's package
 * chromium-common (32 MB), so that training with `trainer.device: webgpu` can be tested on a machine without a GPU.
 *
 *     node scripts/fetch-swiftshader.ts [DEB]      DEB: an already downloaded chromium-common_*.deb
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

const PACKAGE = 'chromium-common';
const FILES = ['libvulkan.so.1', 'libvk_swiftshader.so', 'vk_swiftshader_icd.json'];

const cache = join(import.meta.dirname, '..', '.cache', 'swiftshader');

class FetchError extends Error {}

try {
  if (FILES.every((file) => existsSync(join(cache, file)))) console.log(`${cache} is there.`);
  else fetchInto(cache);
} catch (error) {
  if (!(error instanceof FetchError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

function fetchInto(directory: string): void {
  mkdirSync(directory, { recursive: true });
  const work = mkdtempSync(join(directory, 'fetch-'));
  try {
    const deb = process.argv[2] ?? download(work);
    if (!succeeds('dpkg-deb', ['-x', resolve(deb), work], work)) throw new FetchError(`${deb} cannot be unpacked; is it Debian's ${PACKAGE}?`);
    for (const file of FILES) {
      const unpacked = join(work, 'usr/lib/chromium', file);
      if (!existsSync(unpacked)) throw new FetchError(`${deb} does not hold ${file}.`);
      renameSync(unpacked, join(directory, file));
    }
    console.log(`${directory} is ready.`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The package lists of a fresh machine are empty; they can be fetched by root only. */
function download(directory: string): string {
  const get = (): boolean => succeeds('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', PACKAGE], directory);
  if (!get() && !(succeeds('apt-get', ['update'], directory) && get())) throw new FetchError(`apt-get could not download ${PACKAGE}: this needs Debian 12 or later (root, where the package lists are missing), or the .deb as an argument.`);
  const deb = readdirSync(directory).find((file) => file.endsWith('.deb'));
  if (deb === undefined) throw new FetchError(`apt-get downloaded no ${PACKAGE}.`);
  return join(directory, deb);
}

function succeeds(command: string, args: readonly string[], directory: string): boolean {
  return spawnSync(command, args, { cwd: directory, stdio: 'ignore' }).status === 0;
}
