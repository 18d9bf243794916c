import type { DashboardSpec } from "./panels.ts";
import { quantile, RATE } from "./queries.ts";

const B = `bucket=~"$bucket"`;

/** Redis and MySQL of the buckets. */
export const stores: DashboardSpec = {
  uid: "hongbao-stores",
  title: "Stores",
  about: "Redis and MySQL of the chosen buckets: load, memory, disk, connections, network.",
  variables: ["bucket"],
  rows: [
    {
      title: "Redis",
      panels: [
        {
          kind: "stat",
          title: "Up",
          about: "Whether the exporter reaches it.",
          unit: "short",
          width: 4,
          bad: 1,
          below: true,
          queries: [{ expr: `min by (bucket) (redis_up{${B}})`, legend: "{{bucket}}" }],
        },
        {
          kind: "stat",
          title: "Connections",
          about: "As a part of what it takes.",
          unit: "percentunit",
          decimals: 1,
          width: 4,
          warn: 0.6,
          bad: 0.8,
          queries: [
            {
              expr: `max by (bucket) (redis_connected_clients{${B}} / redis_config_maxclients{${B}})`,
              legend: "{{bucket}}",
            },
          ],
        },
        {
          kind: "stat",
          title: "Memory",
          about: "What its data take; it never drops any.",
          unit: "bytes",
          width: 4,
          queries: [{ expr: `max by (bucket) (redis_memory_used_bytes{${B}})`, legend: "{{bucket}}" }],
        },
        {
          kind: "stat",
          title: "Refused connections",
          about: "In the last five minutes.",
          unit: "short",
          decimals: 0,
          width: 4,
          bad: 1,
          queries: [
            {
              expr: `sum by (bucket) (increase(redis_rejected_connections_total{${B}}[5m]))`,
              legend: "{{bucket}}",
            },
          ],
        },
        {
          kind: "stat",
          title: "Append-only file",
          about: "1 while writes to it succeed; without them nothing is told.",
          unit: "short",
          width: 4,
          bad: 1,
          below: true,
          queries: [{ expr: `min by (bucket) (redis_aof_last_write_status{${B}})`, legend: "{{bucket}}" }],
        },
        {
          kind: "stat",
          title: "Running for",
          about: "Since its last start.",
          unit: "s",
          width: 4,
          queries: [{ expr: `min by (bucket) (redis_uptime_in_seconds{${B}})`, legend: "{{bucket}}" }],
        },
        {
          kind: "lines",
          title: "Commands",
          about: "All commands a second; a grab's script is one of them, whatever it carries.",
          unit: "ops",
          width: 8,
          queries: [
            {
              expr: `sum by (bucket) (rate(redis_commands_processed_total{${B}}${RATE}))`,
              legend: "{{bucket}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Processor",
          about: "Redis runs scripts on one processor: near 1 it is full.",
          unit: "short",
          decimals: 2,
          width: 8,
          warn: 0.7,
          bad: 0.9,
          queries: [
            {
              expr: `sum by (bucket) (rate(redis_cpu_user_seconds_total{${B}}${RATE}) + rate(redis_cpu_sys_seconds_total{${B}}${RATE}))`,
              legend: "{{bucket}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Seen from the services: slowest 1 % of calls",
          about: "A grab's script call, the network included.",
          unit: "s",
          width: 8,
          warn: 0.05,
          bad: 0.2,
          queries: [{ expr: quantile(0.99, "redis_call_seconds", "bucket", B), legend: "{{bucket}}" }],
        },
        {
          kind: "lines",
          title: "Network",
          about: "Bytes to and from each Redis.",
          unit: "Bps",
          width: 8,
          queries: [
            {
              expr: `sum by (bucket) (rate(redis_net_input_bytes_total{${B}}${RATE}))`,
              legend: "{{bucket}} in",
            },
            {
              expr: `sum by (bucket) (rate(redis_net_output_bytes_total{${B}}${RATE}))`,
              legend: "{{bucket}} out",
            },
          ],
        },
        {
          kind: "lines",
          title: "Memory",
          about: "Data, and what the process holds with fragmentation.",
          unit: "bytes",
          width: 8,
          queries: [
            { expr: `sum by (bucket) (redis_memory_used_bytes{${B}})`, legend: "{{bucket}} used" },
            { expr: `sum by (bucket) (redis_memory_used_rss_bytes{${B}})`, legend: "{{bucket}} resident" },
          ],
        },
        {
          kind: "lines",
          title: "Clients",
          about: "Open connections.",
          unit: "short",
          width: 8,
          queries: [{ expr: `sum by (bucket) (redis_connected_clients{${B}})`, legend: "{{bucket}}" }],
        },
      ],
    },
    {
      title: "MySQL",
      panels: [
        {
          kind: "stat",
          title: "Up",
          about: "Whether the exporter reaches it.",
          unit: "short",
          width: 4,
          bad: 1,
          below: true,
          queries: [{ expr: `min by (bucket) (mysql_up{${B}})`, legend: "{{bucket}}" }],
        },
        {
          kind: "stat",
          title: "Connections",
          about: "As a part of what it takes.",
          unit: "percentunit",
          decimals: 1,
          width: 4,
          warn: 0.6,
          bad: 0.8,
          queries: [
            {
              expr: `max by (bucket) (mysql_global_status_threads_connected{${B}} / mysql_global_variables_max_connections{${B}})`,
              legend: "{{bucket}}",
            },
          ],
        },
        {
          kind: "stat",
          title: "Running queries",
          about: "At this moment.",
          unit: "short",
          width: 4,
          warn: 20,
          queries: [
            { expr: `max by (bucket) (mysql_global_status_threads_running{${B}})`, legend: "{{bucket}}" },
          ],
        },
        {
          kind: "stat",
          title: "Slow queries",
          about: "In the last five minutes.",
          unit: "short",
          decimals: 0,
          width: 4,
          warn: 1,
          queries: [
            {
              expr: `sum by (bucket) (increase(mysql_global_status_slow_queries{${B}}[5m]))`,
              legend: "{{bucket}}",
            },
          ],
        },
        {
          kind: "stat",
          title: "Buffer pool",
          about: "Part of the buffer pool that is in use.",
          unit: "percentunit",
          decimals: 0,
          width: 4,
          queries: [
            {
              expr: `sum by (bucket) (mysql_global_status_buffer_pool_pages{state="data", ${B}}) / sum by (bucket) (mysql_global_status_buffer_pool_pages{${B}})`,
              legend: "{{bucket}}",
            },
          ],
        },
        {
          kind: "stat",
          title: "Running for",
          about: "Since its last start.",
          unit: "s",
          width: 4,
          queries: [{ expr: `min by (bucket) (mysql_global_status_uptime{${B}})`, legend: "{{bucket}}" }],
        },
        {
          kind: "lines",
          title: "Statements",
          about: "Inserts, selects and updates a second.",
          unit: "ops",
          width: 8,
          queries: [
            {
              expr: `sum by (bucket, command) (rate(mysql_global_status_commands_total{command=~"insert|select|update|commit", ${B}}${RATE}))`,
              legend: "{{bucket}} {{command}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Claims written",
          about: "By persist: new ones, and those that contradict a claim that stands.",
          unit: "cps",
          width: 8,
          queries: [
            {
              expr: `sum by (bucket, outcome) (rate(hongbao_persist_rows_total{${B}}${RATE}))`,
              legend: "{{bucket}} {{outcome}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Seen from persist: slowest 1 % of inserts",
          about: "One bulk insert with its commit.",
          unit: "s",
          width: 8,
          warn: 0.5,
          bad: 1,
          queries: [{ expr: quantile(0.99, "persist_batch_seconds", "bucket", B), legend: "{{bucket}}" }],
        },
        {
          kind: "lines",
          title: "Network",
          about: "Bytes to and from each MySQL.",
          unit: "Bps",
          width: 12,
          queries: [
            {
              expr: `sum by (bucket) (rate(mysql_global_status_bytes_received{${B}}${RATE}))`,
              legend: "{{bucket}} in",
            },
            {
              expr: `sum by (bucket) (rate(mysql_global_status_bytes_sent{${B}}${RATE}))`,
              legend: "{{bucket}} out",
            },
          ],
        },
        {
          kind: "lines",
          title: "Waits for row locks",
          about: "Transactions that waited for another one.",
          unit: "ops",
          width: 12,
          queries: [
            {
              expr: `sum by (bucket) (rate(mysql_global_status_innodb_row_lock_waits{${B}}${RATE}))`,
              legend: "{{bucket}}",
            },
          ],
        },
      ],
    },
  ],
};
