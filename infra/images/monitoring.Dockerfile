# Prometheus, Alertmanager and Grafana with our rules and dashboards (monitoring/). What differs from event to event comes by the
# environment: HONGBAO_NAMESPACE, HONGBAO_BUCKETS, AWS_REGION, PAGE_TOPIC_ARN, TICKET_TOPIC_ARN, HONGBAO_OPERATOR.

FROM prom/prometheus:v3.5.0 AS prometheus
COPY monitoring/rules/ /etc/prometheus/rules/
COPY infra/images/prometheus-entry.sh /bin/prometheus-entry
USER 65534
ENTRYPOINT ["/bin/sh", "/bin/prometheus-entry"]

FROM prom/alertmanager:v0.28.1 AS alertmanager
COPY infra/images/alertmanager-entry.sh /bin/alertmanager-entry
USER 65534
ENTRYPOINT ["/bin/sh", "/bin/alertmanager-entry"]

FROM grafana/grafana:12.1.1 AS grafana
COPY infra/images/grafana-datasource.yaml /etc/grafana/provisioning/datasources/hongbao.yaml
COPY infra/images/grafana-dashboards.yaml /etc/grafana/provisioning/dashboards/hongbao.yaml
COPY monitoring/dashboards/ /etc/grafana/hongbao/
