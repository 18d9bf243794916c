import type { DashboardSpec } from "./panels.ts";
import { perRound, quantile, quantiles, RATE } from "./queries.ts";

const B = `bucket=~"$bucket"`;

/** One bucket, or several side by side. */
export const bucket: DashboardSpec = {
  uid: "hongbao-bucket",
  title: "Bucket",
  about: "Services, journal and prizes of the chosen buckets.",
  variables: ["bucket", "round"],
  rows: [
    {
      title: "State",
      panels: [
        {
          kind: "stat",
          title: "Services that answer",
          about: "Service processes whose admin port answers.",
          unit: "short",
          width: 4,
          bad: 1,
          below: true,
          queries: [{ expr: `sum by (bucket) (up{job="hongbao", role="grab", ${B}})`, legend: "{{bucket}}" }],
        },
        {
          kind: "stat",
          title: "Redis reached by",
          about: "Service processes that may use their Redis.",
          unit: "short",
          width: 4,
          bad: 1,
          below: true,
          queries: [
            {
              expr: `sum by (bucket) (hongbao_store_up{role="grab", store="redis", ${B}})`,
              legend: "{{bucket}}",
            },
          ],
        },
        {
          kind: "stat",
          title: "Fenced",
          about: "1: Redis went back in time, grabs are busy until `hongbao rebuild`.",
          unit: "short",
          width: 4,
          bad: 1,
          queries: [{ expr: `max by (bucket) (hongbao_bucket_fenced{${B}})`, legend: "{{bucket}}" }],
        },
        {
          kind: "stat",
          title: "Journal",
          about: "Claims that wait for MySQL, as a part of the bound past which grabs are busy.",
          unit: "percentunit",
          decimals: 1,
          width: 4,
          warn: 0.5,
          bad: 0.8,
          queries: [
            {
              expr: `max by (bucket) (hongbao_journal_waiting{${B}}) / max by (bucket) (hongbao_journal_max{${B}} > 0)`,
              legend: "{{bucket}}",
            },
          ],
        },
        {
          kind: "stat",
          title: "Out of balance",
          about: "Prizes that the books cannot account for.",
          unit: "short",
          width: 4,
          bad: 1,
          queries: [
            { expr: `sum by (bucket) (abs(${perRound("prizes_unbalanced")}))`, legend: "{{bucket}}" },
          ],
        },
        {
          kind: "stat",
          title: "Errors in logs",
          about: "Lines of level error and worse in the last five minutes.",
          unit: "short",
          decimals: 0,
          width: 4,
          warn: 1,
          bad: 10,
          queries: [
            {
              expr: `sum by (bucket) (increase(hongbao_log_lines_total{level=~"error|fatal", ${B}}[5m]))`,
              legend: "{{bucket}}",
            },
          ],
        },
      ],
    },
    {
      title: "Grabs",
      panels: [
        {
          kind: "lines",
          title: "Answers by door",
          about:
            "Nearly all comes through the SPOP door; the HTTP door takes over when no agent answers in time.",
          unit: "reqps",
          width: 8,
          stack: true,
          queries: [
            {
              expr: `sum by (door, result) (rate(hongbao_http_requests_total{route="grab", ${B}}${RATE})) > 0`,
              legend: "{{door}} {{result}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Time to answer",
          about: "From a grab's arrival in a service to its answer.",
          unit: "s",
          width: 8,
          warn: 0.25,
          bad: 1,
          queries: quantiles("grab_seconds", B),
        },
        {
          kind: "lines",
          title: "Slowest 1 % by process",
          about: "One process far above the others is in trouble by itself.",
          unit: "s",
          width: 8,
          warn: 0.25,
          bad: 1,
          queries: [{ expr: quantile(0.99, "grab_seconds", "bucket, id", B), legend: "{{bucket}} {{id}}" }],
        },
        {
          kind: "lines",
          title: "Grabs in a script call",
          about: "All that wait go to Redis together: calls grow under load.",
          unit: "short",
          width: 8,
          queries: quantiles("batch_size", B),
        },
        {
          kind: "lines",
          title: "Time of a script call",
          about: "Service to Redis and back, the network included.",
          unit: "s",
          width: 8,
          warn: 0.05,
          bad: 0.2,
          queries: quantiles("redis_call_seconds", B),
        },
        {
          kind: "lines",
          title: "Script calls",
          about: "Calls to Redis, and those of them that failed.",
          unit: "ops",
          width: 8,
          queries: [
            {
              expr: `sum by (bucket) (rate(hongbao_redis_call_seconds_count{${B}}${RATE}))`,
              legend: "{{bucket}}",
            },
            {
              expr: `sum by (bucket) (rate(hongbao_redis_failures_total{${B}}${RATE}))`,
              legend: "{{bucket}} failed",
            },
          ],
        },
        {
          kind: "lines",
          title: "Other requests",
          about: "Results, wins, receipts.",
          unit: "reqps",
          width: 8,
          queries: [
            {
              expr: `sum by (route, result) (rate(hongbao_http_requests_total{route!="grab", ${B}}${RATE})) > 0`,
              legend: "{{route}} {{result}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Connections of the doors",
          about: "Open connections from the balancers.",
          unit: "short",
          width: 8,
          queries: [
            { expr: `sum by (bucket, door) (hongbao_connections{${B}})`, legend: "{{bucket}} {{door}}" },
          ],
        },
        {
          kind: "lines",
          title: "Grabs in flight",
          about: "Grabs that wait for an answer in a process; bounded by 20,000.",
          unit: "short",
          width: 8,
          warn: 10_000,
          queries: [{ expr: `hongbao_grabs_in_flight{${B}, role="grab"}`, legend: "{{bucket}} {{id}}" }],
        },
      ],
    },
    {
      title: "Prizes",
      panels: [
        {
          kind: "lines",
          title: "Left",
          about: "By bucket and round. A bucket that runs dry borrows.",
          unit: "short",
          width: 8,
          queries: [{ expr: perRound("prizes_left"), legend: "{{bucket}} round {{round}}" }],
        },
        {
          kind: "lines",
          title: "Issued",
          about: "By bucket and round.",
          unit: "short",
          width: 8,
          queries: [{ expr: perRound("prizes_issued"), legend: "{{bucket}} round {{round}}" }],
        },
        {
          kind: "lines",
          title: "Journal",
          about: "Claims that Redis has and MySQL not yet; at journalMax grabs are told busy.",
          unit: "short",
          width: 8,
          queries: [{ expr: `max by (bucket) (hongbao_journal_waiting{${B}})`, legend: "{{bucket}}" }],
        },
        {
          kind: "table",
          title: "Books",
          about: "Issued + left + burned + lent out + rolled out = generated + borrowed + rolled in.",
          unit: "short",
          width: 24,
          queries: [
            ["prizes_generated", "generated"],
            ["prizes_borrowed", "borrowed"],
            ["prizes_rolled_in", "rolled in"],
            ["prizes_issued", "issued"],
            ["prizes_left", "left"],
            ["prizes_burned", "burned"],
            ["prizes_lent_out", "lent out"],
            ["prizes_rolled_out", "rolled out"],
            ["prizes_claimed", "in MySQL"],
            ["prizes_unbalanced", "unbalanced"],
          ].map(([name, legend]) => ({ expr: perRound(name!), legend: legend! })),
        },
      ],
    },
    {
      title: "Processes",
      panels: [
        {
          kind: "lines",
          title: "Processor",
          about: "Processors that each process uses; 1 is all that one can.",
          unit: "short",
          decimals: 2,
          width: 8,
          warn: 0.9,
          queries: [
            {
              expr: `rate(process_cpu_seconds_total{job="hongbao", ${B}}${RATE})`,
              legend: "{{bucket}} {{role}} {{id}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Event-loop delay, slowest 1 %",
          about: "How late timers come: everything in the process waits as long.",
          unit: "s",
          width: 8,
          warn: 0.1,
          bad: 0.5,
          queries: [
            {
              expr: quantile(0.99, "event_loop_delay_seconds", "bucket, role, id", B),
              legend: "{{bucket}} {{role}} {{id}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Memory",
          about: "Resident memory of each process.",
          unit: "bytes",
          width: 8,
          queries: [
            {
              expr: `process_resident_memory_bytes{job="hongbao", ${B}}`,
              legend: "{{bucket}} {{role}} {{id}}",
            },
          ],
        },
      ],
    },
  ],
};
