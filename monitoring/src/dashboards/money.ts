import type { DashboardSpec } from "./panels.ts";
import { inMain, perRound, quantile, RATE } from "./queries.ts";

const B = `bucket=~"$bucket"`;
const payouts = (state: string): string => `max by (bucket) (hongbao_payouts{state="${state}", ${B}})`;

/** Where the money is. */
export const money: DashboardSpec = {
  uid: "hongbao-money",
  title: "Payout and money",
  about: "Generated, claimed, paid, in count and in money; amounts in the event's currency.",
  variables: ["bucket", "round"],
  rows: [
    {
      title: "Totals",
      panels: [
        {
          kind: "stat",
          title: "Budget of the prizes",
          about: "What all generated prizes are worth.",
          unit: "short",
          decimals: 2,
          width: 4,
          queries: [{ expr: inMain(`sum(${perRound("prizes_generated_minor")})`), legend: "budget" }],
        },
        {
          kind: "stat",
          title: "Claimed",
          about: "What the claims in MySQL are worth.",
          unit: "short",
          decimals: 2,
          width: 4,
          queries: [{ expr: inMain(`sum(${perRound("prizes_claimed_minor")})`), legend: "claimed" }],
        },
        {
          kind: "stat",
          title: "Paid",
          about: "What the paid claims are worth.",
          unit: "short",
          decimals: 2,
          width: 4,
          queries: [{ expr: inMain(`sum(${perRound("prizes_paid_minor")})`), legend: "paid" }],
        },
        {
          kind: "stat",
          title: "Waiting for payment",
          about: "Claims that are not paid yet.",
          unit: "short",
          width: 4,
          queries: [{ expr: `sum(${payouts("pending")})`, legend: "pending" }],
        },
        {
          kind: "stat",
          title: "Dead letters",
          about: "Payouts that somebody must look at: `hongbao payout status`.",
          unit: "short",
          width: 4,
          bad: 1,
          queries: [{ expr: `sum(${payouts("dead")})`, legend: "dead" }],
        },
        {
          kind: "stat",
          title: "Out of balance",
          about: "Prizes that the books cannot account for: `hongbao audit`.",
          unit: "short",
          width: 4,
          bad: 1,
          queries: [{ expr: `sum(abs(${perRound("prizes_unbalanced")}))`, legend: "unbalanced" }],
        },
      ],
    },
    {
      title: "The way of the money",
      panels: [
        {
          kind: "lines",
          title: "Issued, in MySQL, paid",
          about: "The three lines come together when everything is paid.",
          unit: "short",
          width: 12,
          queries: [
            { expr: `sum(${perRound("prizes_issued")})`, legend: "issued" },
            { expr: `sum(${perRound("prizes_claimed")})`, legend: "in MySQL" },
            { expr: `sum(${perRound("prizes_paid")})`, legend: "paid" },
          ],
        },
        {
          kind: "lines",
          title: "Payouts by state",
          about: "Held: the user was denied by an operator.",
          unit: "short",
          width: 12,
          queries: [
            { expr: `sum by (state) (max by (bucket, state) (hongbao_payouts{${B}}))`, legend: "{{state}}" },
          ],
        },
        {
          kind: "lines",
          title: "Outcomes",
          about: "What became of claims that came up for payment.",
          unit: "cps",
          width: 8,
          queries: [
            {
              expr: `sum by (outcome) (rate(hongbao_payout_claims_total{${B}}${RATE}))`,
              legend: "{{outcome}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Paid a second",
          about: "In the event's currency.",
          unit: "short",
          decimals: 2,
          width: 8,
          queries: [
            {
              expr: inMain(`sum by (bucket) (rate(hongbao_payout_paid_minor_total{${B}}${RATE}))`),
              legend: "{{bucket}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Not looked at yet",
          about: "Claims in MySQL that payout has not taken up.",
          unit: "short",
          width: 8,
          queries: [{ expr: `max by (bucket) (hongbao_payout_feed_claims{${B}})`, legend: "{{bucket}}" }],
        },
        {
          kind: "lines",
          title: "Time of a batch, slowest 1 %",
          about: "From being taken up to the commit.",
          unit: "s",
          width: 8,
          warn: 1,
          queries: [{ expr: quantile(0.99, "payout_batch_seconds", "bucket", B), legend: "{{bucket}}" }],
        },
        {
          kind: "lines",
          title: "Wallet and order system, slowest 1 %",
          about: "Empty where the built-in ledger and order book pay.",
          unit: "s",
          width: 8,
          warn: 1,
          bad: 3,
          queries: [{ expr: quantile(0.99, "payout_target_seconds", "target", B), legend: "{{target}}" }],
        },
        {
          kind: "lines",
          title: "Troubles",
          about: "Transactions that are tried again, and claims that the budget guard stopped.",
          unit: "cps",
          width: 8,
          queries: [
            { expr: `sum(rate(hongbao_payout_failures_total{${B}}${RATE}))`, legend: "tried again" },
            { expr: `sum(rate(hongbao_payout_guarded_total{${B}}${RATE}))`, legend: "stopped by the guard" },
          ],
        },
      ],
    },
    {
      title: "Books",
      panels: [
        {
          kind: "table",
          title: "Rounds in money",
          about: "By bucket and round, in the event's currency.",
          unit: "short",
          decimals: 2,
          width: 12,
          queries: [
            { expr: inMain(perRound("prizes_generated_minor")), legend: "generated" },
            { expr: inMain(perRound("prizes_claimed_minor")), legend: "claimed" },
            { expr: inMain(perRound("prizes_paid_minor")), legend: "paid" },
          ],
        },
        {
          kind: "table",
          title: "Payouts",
          about: "By bucket and state.",
          unit: "short",
          width: 12,
          queries: [
            { expr: `max by (bucket, state) (hongbao_payouts{${B}})`, legend: "claims" },
            { expr: inMain(`max by (bucket, state) (hongbao_payouts_minor{${B}})`), legend: "worth" },
          ],
        },
      ],
    },
  ],
};
