import tseslint from "typescript-eslint";

/** Which folder may import which: arrows run one way (README, "The house"). */
const mayNotImport = {
  monitoring: ["preprocess", "bucket-service", "balancer", "infra"],
  preprocess: ["bucket-service", "balancer", "infra"],
  "bucket-service": ["balancer", "infra"],
  balancer: ["infra"],
  infra: ["bucket-service", "balancer"],
};

export default tseslint.config(
  { ignores: ["node_modules/", ".tap/", ".hongbao/", "coverage/", "**/*.d.ts"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "no-console": "error",
      "@typescript-eslint/no-floating-promises": [
        "error",
        // tap waits for its subtests by itself.
        {
          allowForKnownSafePromises: [
            { from: "package", package: "@tapjs/core", name: "PromiseWithSubtest" },
          ],
        },
      ],
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      "max-lines": ["error", { max: 450, skipBlankLines: true, skipComments: true }],
      "prefer-const": "error",
      eqeqeq: ["error", "smart"],
    },
  },
  ...Object.entries(mayNotImport).map(([folder, others]) => ({
    files: [`${folder}/src/**/*.ts`],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            ...others.map((other) => ({
              group: [`@hongbao/${other}`, `@hongbao/${other}/*`],
              message: `${folder} may not import ${other}: see the map of the house in README.md.`,
            })),
            ...(folder === "monitoring"
              ? []
              : [{ group: ["prom-client"], message: "Only monitoring imports prom-client." }]),
          ],
        },
      ],
    },
  })),
);
