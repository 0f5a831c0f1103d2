import { defineConfig } from 'vitest/config';

// In development `vite web` serves the page and passes the API on to a running coalmine.
const server = { proxy: Object.fromEntries(['/v1', '/api'].map((path) => [path, 'http://127.0.0.1:7070'])) };

export default defineConfig({
  server,
  build: { outDir: 'dist', emptyOutDir: true, assetsInlineLimit: 0 },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
});
