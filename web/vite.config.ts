import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "./",
  build: {
    outDir: "../src/mien/serve/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: {
      output: {
        // Without hashes a rebuild changes contents, not names.
        entryFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
  // Module workers cannot be started from a page that was opened from disk.
  worker: { format: "iife" },
  test: { include: ["test/**/*.test.ts"], environment: "node" },
});
