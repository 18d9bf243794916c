import type { DashboardSpec } from "./panels.ts";
import { RATE } from "./queries.ts";

const NO_DISK = `fstype!~"tmpfs|ramfs|overlay|squashfs|nsfs|proc"`;
const WIRE = `device!~"lo|veth.*|docker.*|br-.*|ifb.*|dummy.*"`;

/** Machines and the network between them, and the monitoring itself. */
export const hosts: DashboardSpec = {
  uid: "hongbao-hosts",
  title: "Hosts and network",
  about: "Processor, memory, disk and network of the machines, and whether the monitoring itself works.",
  variables: [],
  rows: [
    {
      title: "Machines",
      panels: [
        {
          kind: "lines",
          title: "Processor",
          about: "Part of all processors that works.",
          unit: "percentunit",
          width: 8,
          max: 1,
          warn: 0.8,
          bad: 0.95,
          queries: [
            {
              expr: `1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}${RATE}))`,
              legend: "{{instance}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Waiting for a processor or the disk",
          about: "Part of the time in which something waited (Linux pressure).",
          unit: "percentunit",
          width: 8,
          max: 1,
          warn: 0.5,
          queries: [
            { expr: `rate(node_pressure_cpu_waiting_seconds_total${RATE})`, legend: "processor" },
            { expr: `rate(node_pressure_io_waiting_seconds_total${RATE})`, legend: "disk" },
          ],
        },
        {
          kind: "lines",
          title: "Memory in use",
          about: "Part that could not be given to a program that asks.",
          unit: "percentunit",
          width: 8,
          max: 1,
          warn: 0.8,
          bad: 0.9,
          queries: [
            {
              expr: "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
              legend: "{{instance}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Disk in use",
          about: "By file system.",
          unit: "percentunit",
          width: 8,
          max: 1,
          warn: 0.8,
          bad: 0.9,
          queries: [
            {
              expr: `1 - max by (instance, device) (node_filesystem_avail_bytes{${NO_DISK}} / node_filesystem_size_bytes{${NO_DISK}})`,
              legend: "{{instance}} {{device}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Disk traffic",
          about: "Bytes read and written.",
          unit: "Bps",
          width: 8,
          queries: [
            {
              expr: `sum by (instance) (rate(node_disk_written_bytes_total${RATE}))`,
              legend: "{{instance}} written",
            },
            {
              expr: `sum by (instance) (rate(node_disk_read_bytes_total${RATE}))`,
              legend: "{{instance}} read",
            },
          ],
        },
        {
          kind: "lines",
          title: "Disk busy",
          about: "Part of the time that the disk works; durable writes wait for it.",
          unit: "percentunit",
          width: 8,
          warn: 0.8,
          queries: [
            {
              expr: `max by (instance, device) (rate(node_disk_io_time_seconds_total${RATE}))`,
              legend: "{{device}}",
            },
          ],
        },
      ],
    },
    {
      title: "Network",
      panels: [
        {
          kind: "lines",
          title: "Network cards",
          about: "Bytes in and out.",
          unit: "Bps",
          width: 8,
          queries: [
            {
              expr: `sum by (instance, device) (rate(node_network_receive_bytes_total{${WIRE}}${RATE}))`,
              legend: "{{device}} in",
            },
            {
              expr: `sum by (instance, device) (rate(node_network_transmit_bytes_total{${WIRE}}${RATE}))`,
              legend: "{{device}} out",
            },
          ],
        },
        {
          kind: "lines",
          title: "TCP segments",
          about: "All connections of the machine, those inside it included.",
          unit: "cps",
          width: 8,
          queries: [
            { expr: `sum by (instance) (rate(node_netstat_Tcp_InSegs${RATE}))`, legend: "in" },
            { expr: `sum by (instance) (rate(node_netstat_Tcp_OutSegs${RATE}))`, legend: "out" },
          ],
        },
        {
          kind: "lines",
          title: "Sent again, and dropped",
          about: "TCP segments that were sent again, and packets that were dropped.",
          unit: "cps",
          width: 8,
          warn: 50,
          queries: [
            { expr: `sum by (instance) (rate(node_netstat_Tcp_RetransSegs${RATE}))`, legend: "sent again" },
            {
              expr: `sum by (instance) (rate(node_network_receive_drop_total${RATE}) + rate(node_network_transmit_drop_total${RATE}))`,
              legend: "dropped",
            },
          ],
        },
        {
          kind: "lines",
          title: "TCP connections",
          about: "Established, and closed ones whose ports still wait.",
          unit: "short",
          width: 8,
          queries: [
            { expr: "node_netstat_Tcp_CurrEstab", legend: "established" },
            { expr: "node_sockstat_TCP_tw", legend: "waiting" },
          ],
        },
        {
          kind: "lines",
          title: "Overflows of listening sockets",
          about: "Connections that a program did not take in time.",
          unit: "cps",
          width: 8,
          bad: 1,
          queries: [{ expr: `rate(node_netstat_TcpExt_ListenOverflows${RATE})`, legend: "{{instance}}" }],
        },
        {
          kind: "lines",
          title: "Open files",
          about: "Part of the limit of each of our processes.",
          unit: "percentunit",
          width: 8,
          warn: 0.7,
          queries: [
            {
              expr: `max by (role) (process_open_fds{job="hongbao"} / process_max_fds{job="hongbao"})`,
              legend: "{{role}}",
            },
          ],
        },
      ],
    },
    {
      title: "Monitoring",
      panels: [
        {
          kind: "lines",
          title: "Targets that do not answer",
          about: "By job.",
          unit: "short",
          width: 8,
          bad: 1,
          queries: [{ expr: "count by (job) (up) - sum by (job) (up)", legend: "{{job}}" }],
        },
        {
          kind: "lines",
          title: "Time of a scrape",
          about: "The slowest of each job.",
          unit: "s",
          width: 8,
          warn: 0.5,
          queries: [{ expr: "max by (job) (scrape_duration_seconds)", legend: "{{job}}" }],
        },
        {
          kind: "lines",
          title: "Log lines that warn",
          about: "Warnings and errors a minute, in all processes.",
          unit: "short",
          width: 8,
          queries: [
            {
              expr: `sum by (level) (rate(hongbao_log_lines_total${RATE})) * 60`,
              legend: "{{level}}",
            },
          ],
        },
      ],
    },
  ],
};
