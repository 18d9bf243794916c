# Prometheus, Alertmanager and Grafana with our rules and dashboards (monitoring/). What differs from event to event comes by the
# environment: HONGBAO_NAMESPACE, AWS_REGION, PAGE_TOPIC_ARN, TICKET_TOPIC_ARN.

FROM prom/prometheus:v3.5.0 AS prometheus
COPY infra/images/prometheus.yml /etc/prometheus/prometheus.yml
COPY monitoring/rules/ /etc/prometheus/rules/
COPY infra/images/prometheus-entry.sh /bin/prometheus-entry
USER 65534
ENTRYPOINT ["/bin/sh", "/bin/prometheus-entry"]

FROM prom/alertmanager:v0.28.1 AS alertmanager
COPY infra/images/alertmanager.yml /etc/alertmanager/alertmanager.yml
COPY infra/images/alertmanager-entry.sh /bin/alertmanager-entry
USER 65534
ENTRYPOINT ["/bin/sh", "/bin/alertmanager-entry"]

FROM grafana/grafana:12.1.1 AS grafana
COPY monitoring/grafana/provisioning/ /etc/grafana/provisioning/
COPY monitoring/dashboards/ /etc/grafana/hongbao/
# Whoever reaches it may look, and nobody may change anything: there is no password that somebody could have left as it was.
ENV HONGBAO_DASHBOARDS=/etc/grafana/hongbao \
    HONGBAO_PROMETHEUS_URL=http://127.0.0.1:9090 \
    GF_AUTH_ANONYMOUS_ENABLED=true \
    GF_AUTH_ANONYMOUS_ORG_ROLE=Viewer \
    GF_AUTH_BASIC_ENABLED=false \
    GF_AUTH_DISABLE_LOGIN_FORM=true \
    GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION=true \
    GF_ANALYTICS_REPORTING_ENABLED=false \
    GF_ANALYTICS_CHECK_FOR_UPDATES=false
# A fresh volume takes over this directory's owner.
VOLUME /var/lib/grafana
