import { defineConfig } from "vitest/config";

const GATEWAY = "http://127.0.0.1:8034";

export default defineConfig({
  // Relative, so that the page works under a path of a proxy's choice.
  base: "./",
  build: {
    outDir: "../gateway/doors/http/page",
    emptyOutDir: true,
    // The content security policy takes no data: URLs but for pictures of renders.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: { proxy: { "/v1": GATEWAY, "/session": GATEWAY } },
  test: { include: ["tests/**/*.test.ts"] },
});
