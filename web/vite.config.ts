import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const NOTICE = `MediaPipe Face Mesh, from the npm package @mediapipe/face_mesh 0.4.1657299874, unmodified.
Copyright The MediaPipe Authors. Licensed under the Apache License, Version 2.0:
https://www.apache.org/licenses/LICENSE-2.0
worker.js is Mien's own.
`;

/** MediaPipe's files, as they are, beside the worker that loads them. */
function faceMesh(): Plugin {
  const names = [
    "face_mesh.js",
    "face_mesh.binarypb",
    "face_mesh_solution_packed_assets_loader.js",
    "face_mesh_solution_packed_assets.data",
    "face_mesh_solution_simd_wasm_bin.js",
    "face_mesh_solution_simd_wasm_bin.wasm",
  ];
  const source = (name: string) =>
    readFileSync(new URL(`node_modules/@mediapipe/face_mesh/${name}`, import.meta.url));
  return {
    name: "face-mesh",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "face_mesh/NOTICE.txt", source: NOTICE });
      for (const name of names) {
        this.emitFile({ type: "asset", fileName: `face_mesh/${name}`, source: source(name) });
      }
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [faceMesh()],
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
  worker: {
    format: "iife",
    rollupOptions: { output: { entryFileNames: "face_mesh/worker.js" } },
  },
  test: { include: ["test/**/*.test.ts"], environment: "node" },
});
