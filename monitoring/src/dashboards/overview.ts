import type { DashboardSpec } from "./panels.ts";
import { inMain, quantile, quantiles, RATE } from "./queries.ts";

const ofRound = (name: string): string => `max by (bucket, round) (hongbao_${name}{round=~"$round"})`;
const grabs = `hongbao_http_requests_total{route="grab"}`;

/** What the boss looks at. */
export const overview: DashboardSpec = {
  uid: "hongbao-overview",
  title: "Event overview",
  about: "Is it going well? Load, prizes and money given, speed, and what is wrong.",
  variables: ["round"],
  rows: [
    {
      title: "Now",
      panels: [
        {
          kind: "stat",
          title: "Requests",
          about: "Everything that comes in through the balancers.",
          unit: "reqps",
          width: 4,
          queries: [
            {
              expr: `sum(rate(haproxy_frontend_http_requests_total{proxy="public"}${RATE}))`,
              legend: "requests",
            },
          ],
          link: { title: "Balancer", uid: "hongbao-balancer" },
        },
        {
          kind: "stat",
          title: "Prizes won",
          about: "New wins; somebody who asks again and is told the same prize does not count.",
          unit: "cps",
          width: 4,
          queries: [
            {
              expr: `sum(max by (bucket, round) (rate(hongbao_prizes_issued{round=~"$round"}${RATE})))`,
              legend: "wins",
            },
          ],
        },
        {
          kind: "stat",
          title: "Prizes left",
          about: "Of the chosen rounds, in all buckets.",
          unit: "short",
          decimals: 0,
          width: 4,
          queries: [{ expr: `sum(${ofRound("prizes_left")})`, legend: "left" }],
        },
        {
          kind: "stat",
          title: "Given out",
          about: "Part of the generated prizes that went to users.",
          unit: "percentunit",
          decimals: 1,
          width: 4,
          queries: [
            {
              expr: `sum(${ofRound("prizes_issued")}) / (sum(${ofRound("prizes_generated")}) > 0)`,
              legend: "given",
            },
          ],
        },
        {
          kind: "stat",
          title: "Money won",
          about: "What the claims in MySQL are worth, in the event's currency.",
          unit: "short",
          decimals: 2,
          width: 4,
          queries: [{ expr: inMain(`sum(${ofRound("prizes_claimed_minor")})`), legend: "won" }],
          link: { title: "Payout and money", uid: "hongbao-money" },
        },
        {
          kind: "stat",
          title: "Paid",
          about: "Part of the claims' worth that was paid.",
          unit: "percentunit",
          decimals: 1,
          width: 4,
          queries: [
            {
              expr: `sum(${ofRound("prizes_paid_minor")}) / (sum(${ofRound("prizes_claimed_minor")}) > 0)`,
              legend: "paid",
            },
          ],
          link: { title: "Payout and money", uid: "hongbao-money" },
        },
        {
          kind: "stat",
          title: "Slowest 1 % of grabs",
          about: "99 of 100 grabs are answered faster inside the services.",
          unit: "s",
          width: 4,
          warn: 0.25,
          bad: 1,
          queries: [{ expr: quantile(0.99, "grab_seconds", ""), legend: "p99" }],
        },
        {
          kind: "stat",
          title: "Busy answers",
          about: "Part of the grabs that were told to come again.",
          unit: "percentunit",
          decimals: 2,
          width: 4,
          warn: 0.01,
          bad: 0.05,
          queries: [
            {
              expr: `sum(rate(hongbao_http_requests_total{route="grab", result="busy"}${RATE})) / (sum(rate(${grabs}${RATE})) > 0)`,
              legend: "busy",
            },
          ],
        },
        {
          kind: "stat",
          title: "Prizes out of balance",
          about: "0, or prizes were lost or doubled: run the audit.",
          unit: "short",
          width: 4,
          bad: 1,
          queries: [{ expr: `sum(abs(${ofRound("prizes_unbalanced")}))`, legend: "unbalanced" }],
        },
        {
          kind: "stat",
          title: "Buckets serving",
          about: "Part of the buckets with a service process that answers.",
          unit: "percentunit",
          decimals: 0,
          width: 4,
          warn: 1,
          bad: 0.5,
          below: true,
          queries: [
            {
              expr: `count(sum by (bucket) (up{job="hongbao", role="grab"}) > 0) / count(count by (bucket) (up{job="hongbao", role="grab"}))`,
              legend: "buckets",
            },
          ],
          link: { title: "Bucket", uid: "hongbao-bucket" },
        },
        {
          kind: "stat",
          title: "Switches set",
          about: "Switches that an operator has moved and that hold somewhere now.",
          unit: "short",
          width: 4,
          warn: 1,
          queries: [{ expr: "max(hongbao_switches_changed)", legend: "switches" }],
        },
        {
          kind: "stat",
          title: "Alerts",
          about: "Alerts that fire now, without the heartbeat.",
          unit: "short",
          width: 4,
          warn: 1,
          queries: [
            {
              expr: `count(ALERTS{alertstate="firing", severity=~"page|ticket"}) or vector(0)`,
              legend: "alerts",
            },
          ],
        },
      ],
    },
    {
      title: "The run",
      panels: [
        {
          kind: "lines",
          title: "Answers to grabs",
          about: "What users were told, by both doors. HAProxy's own answers stand on the balancer's page.",
          unit: "reqps",
          width: 12,
          stack: true,
          queries: [{ expr: `sum by (result) (rate(${grabs}${RATE})) > 0`, legend: "{{result}}" }],
        },
        {
          kind: "lines",
          title: "Prizes left",
          about: "By round, in all buckets.",
          unit: "short",
          width: 12,
          queries: [{ expr: `sum by (round) (${ofRound("prizes_left")})`, legend: "round {{round}}" }],
        },
        {
          kind: "lines",
          title: "Time to answer a grab",
          about: "From its arrival in a service to the answer.",
          unit: "s",
          width: 12,
          warn: 0.25,
          bad: 1,
          queries: quantiles("grab_seconds"),
        },
        {
          kind: "lines",
          title: "Wins by bucket",
          about: "Buckets share the users evenly: one line far below the others is a bucket in trouble.",
          unit: "cps",
          width: 12,
          queries: [
            {
              expr: `sum by (bucket) (max by (bucket, round) (rate(hongbao_prizes_issued{round=~"$round"}${RATE})))`,
              legend: "{{bucket}}",
            },
          ],
        },
      ],
    },
    {
      title: "Rounds and switches",
      panels: [
        {
          kind: "table",
          title: "Rounds",
          about: "Counts over all buckets.",
          unit: "short",
          width: 16,
          queries: [
            { expr: `sum by (round) (${ofRound("prizes_generated")})`, legend: "generated" },
            { expr: `sum by (round) (${ofRound("prizes_issued")})`, legend: "issued" },
            { expr: `sum by (round) (${ofRound("prizes_left")})`, legend: "left" },
            { expr: `sum by (round) (${ofRound("prizes_claimed")})`, legend: "in MySQL" },
            { expr: `sum by (round) (${ofRound("prizes_paid")})`, legend: "paid" },
            { expr: `max by (round) (hongbao_round_state{round=~"$round", state="open"})`, legend: "open" },
          ],
        },
        {
          kind: "table",
          title: "Switches",
          about: "What the processes obey; the count is of processes.",
          unit: "short",
          width: 8,
          queries: [{ expr: "count by (switch, value) (hongbao_switch_value == 1)", legend: "processes" }],
        },
      ],
    },
  ],
};
