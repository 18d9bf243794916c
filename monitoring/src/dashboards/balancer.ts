import type { DashboardSpec } from "./panels.ts";
import { RATE } from "./queries.ts";

/** The way in. */
export const balancer: DashboardSpec = {
  uid: "hongbao-balancer",
  title: "Balancer",
  about: "HAProxy and the controllers: what comes in, what is answered at once, what the buckets are given.",
  variables: [],
  rows: [
    {
      title: "State",
      panels: [
        {
          kind: "stat",
          title: "Client connections",
          about: "As a part of what HAProxy takes.",
          unit: "percentunit",
          decimals: 1,
          width: 4,
          warn: 0.7,
          bad: 0.85,
          queries: [
            {
              expr: "max(haproxy_process_current_connections / haproxy_process_max_connections)",
              legend: "connections",
            },
          ],
        },
        {
          kind: "stat",
          title: "Waiting for a service",
          about: "Requests in the buckets' queues; past 4,000 the answer is busy at once.",
          unit: "short",
          width: 4,
          warn: 500,
          bad: 2000,
          queries: [{ expr: `sum(haproxy_backend_current_queue{proxy=~"bucket_[^:].*"})`, legend: "queue" }],
        },
        {
          kind: "stat",
          title: "Services up",
          about: "HTTP doors that pass HAProxy's health check.",
          unit: "short",
          width: 4,
          bad: 1,
          below: true,
          queries: [
            { expr: `sum(haproxy_server_status{proxy=~"bucket_[^:].*", state="UP"})`, legend: "servers" },
          ],
        },
        {
          kind: "stat",
          title: "Agents up",
          about: "SPOP doors that pass HAProxy's health check.",
          unit: "short",
          width: 4,
          bad: 1,
          below: true,
          queries: [{ expr: `sum(haproxy_server_status{proxy=~"agents_.*", state="UP"})`, legend: "agents" }],
        },
        {
          kind: "stat",
          title: "News of rounds",
          about: "Age of what the balancer last heard from a controller. It works on with what it knows.",
          unit: "s",
          width: 4,
          warn: 2,
          bad: 10,
          queries: [{ expr: "max(hongbao_balancer_sync_age_seconds)", legend: "age" }],
        },
        {
          kind: "stat",
          title: "Certificate valid for",
          about: "Until the balancer's certificate expires; empty without TLS here.",
          unit: "s",
          width: 4,
          warn: 1_209_600,
          bad: 172_800,
          below: true,
          queries: [
            { expr: "min(hongbao_balancer_certificate_expires_at_seconds) - time()", legend: "certificate" },
          ],
        },
      ],
    },
    {
      title: "The public side",
      panels: [
        {
          kind: "lines",
          title: "Requests",
          about: "All requests, and those of them that HAProxy answered without a bucket or the site.",
          unit: "reqps",
          width: 8,
          queries: [
            { expr: `sum(rate(haproxy_frontend_http_requests_total{proxy="public"}${RATE}))`, legend: "all" },
            {
              expr: `sum(rate(haproxy_frontend_http_requests_total{proxy="public"}${RATE})) - sum(rate(haproxy_backend_http_requests_total{proxy=~"bucket_[^:].*|site"}${RATE}))`,
              legend: "answered at once",
            },
          ],
        },
        {
          kind: "lines",
          title: "Status codes",
          about: "5xx is busy: nobody is ever shown an error page.",
          unit: "reqps",
          width: 8,
          stack: true,
          queries: [
            {
              expr: `sum by (code) (rate(haproxy_frontend_http_responses_total{proxy="public"}${RATE})) > 0`,
              legend: "{{code}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Bandwidth at the entry",
          about: "Bytes from and to users.",
          unit: "Bps",
          width: 8,
          queries: [
            { expr: `sum(rate(haproxy_frontend_bytes_in_total{proxy="public"}${RATE}))`, legend: "in" },
            { expr: `sum(rate(haproxy_frontend_bytes_out_total{proxy="public"}${RATE}))`, legend: "out" },
          ],
        },
        {
          kind: "lines",
          title: "Connections",
          about: "Open connections of users, and new ones a second.",
          unit: "short",
          width: 8,
          queries: [
            { expr: `sum(haproxy_frontend_current_sessions{proxy="public"})`, legend: "open" },
            {
              expr: `sum(rate(haproxy_frontend_connections_total{proxy="public"}${RATE}))`,
              legend: "new a second",
            },
          ],
        },
        {
          kind: "lines",
          title: "Refused",
          about: "Requests that could not be read, and those that a rule denied.",
          unit: "reqps",
          width: 8,
          queries: [
            {
              expr: `sum(rate(haproxy_frontend_request_errors_total{proxy="public"}${RATE}))`,
              legend: "unreadable",
            },
            {
              expr: `sum(rate(haproxy_frontend_requests_denied_total{proxy="public"}${RATE}))`,
              legend: "denied",
            },
          ],
        },
        {
          kind: "lines",
          title: "HAProxy is busy",
          about: "Part of the time that HAProxy's threads work. Near 1 it is the bottleneck.",
          unit: "percentunit",
          width: 8,
          max: 1,
          warn: 0.8,
          bad: 0.95,
          queries: [{ expr: "1 - haproxy_process_idle_time_percent / 100", legend: "{{instance}}" }],
        },
      ],
    },
    {
      title: "Towards the buckets",
      panels: [
        {
          kind: "lines",
          title: "Requests by bucket",
          about: "Users are spread evenly over the buckets.",
          unit: "reqps",
          width: 8,
          queries: [
            {
              expr: `sum by (proxy) (rate(haproxy_backend_http_requests_total{proxy=~"bucket_[^:].*"}${RATE}))`,
              legend: "{{proxy}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Queue by bucket",
          about: "Requests that wait for a free place at a service.",
          unit: "short",
          width: 8,
          warn: 500,
          bad: 2000,
          queries: [
            {
              expr: `sum by (proxy) (haproxy_backend_current_queue{proxy=~"bucket_[^:].*"})`,
              legend: "{{proxy}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Mean time of the HTTP servers",
          about: "HAProxy's mean over the last 1,024 answers of each bucket's HTTP doors and of the site.",
          unit: "s",
          width: 8,
          queries: [
            {
              expr: `max by (proxy) (haproxy_backend_response_time_average_seconds{proxy=~"bucket_[^:].*|site"})`,
              legend: "{{proxy}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Health check: time to each service",
          about: "The way from the balancer to each process and back.",
          unit: "s",
          width: 8,
          queries: [
            {
              expr: `haproxy_server_check_duration_seconds{proxy=~"bucket_[^:].*"}`,
              legend: "{{proxy}} {{server}}",
            },
          ],
        },
        {
          kind: "lines",
          title: "Bytes by bucket",
          about: "Between the balancers and each bucket's HTTP and SPOP doors.",
          unit: "Bps",
          width: 8,
          queries: [
            {
              expr: `sum by (proxy) (rate(haproxy_backend_bytes_in_total{proxy=~"bucket_[^:].*|agents_.*"}${RATE}))`,
              legend: "{{proxy}} to",
            },
            {
              expr: `sum by (proxy) (rate(haproxy_backend_bytes_out_total{proxy=~"bucket_[^:].*|agents_.*"}${RATE}))`,
              legend: "{{proxy}} from",
            },
          ],
        },
        {
          kind: "lines",
          title: "Tried again",
          about:
            "Requests that were sent to another service after the first did not take them, and failures.",
          unit: "reqps",
          width: 8,
          warn: 1,
          queries: [
            {
              expr: `sum by (proxy) (rate(haproxy_backend_retry_warnings_total{proxy=~"bucket_[^:].*"}${RATE}))`,
              legend: "{{proxy}} retries",
            },
            {
              expr: `sum by (proxy) (rate(haproxy_backend_connection_errors_total{proxy=~"bucket_[^:].*|agents_.*"}${RATE}))`,
              legend: "{{proxy}} errors",
            },
          ],
        },
      ],
    },
    {
      title: "Controllers",
      panels: [
        {
          kind: "lines",
          title: "Leading",
          about: "Exactly one controller acts.",
          unit: "short",
          width: 8,
          queries: [{ expr: "hongbao_controller_leading", legend: "{{id}}" }],
        },
        {
          kind: "lines",
          title: "Time of a tick",
          about: "How long the conductor takes to look at everything once.",
          unit: "s",
          width: 8,
          warn: 0.5,
          queries: [
            {
              expr: `histogram_quantile(0.99, sum by (id, le) (rate(hongbao_controller_tick_seconds_bucket${RATE})))`,
              legend: "{{id}} p99",
            },
          ],
        },
        {
          kind: "lines",
          title: "Clocks of the buckets",
          about: "How far each bucket's Redis clock is from the controller's. Rounds open by the bucket's.",
          unit: "s",
          width: 8,
          warn: 1,
          queries: [{ expr: "max by (bucket) (abs(hongbao_clock_offset_seconds))", legend: "{{bucket}}" }],
        },
      ],
    },
  ],
};
