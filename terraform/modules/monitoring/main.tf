# Two ways to hear of trouble that do not need each other: Prometheus, Alertmanager and Grafana in one task, and CloudWatch alarms on
# what AWS itself measures. Cost: CloudWatch in docs/costs.md.

module "process" {
  source = "../task"

  name               = "${var.common.name}-monitoring"
  region             = var.common.region
  cluster_arn        = var.common.cluster_arn
  cpu                = var.size.cpu
  memory             = var.size.memory
  cpu_architecture   = var.common.cpu_architecture
  repository_arns    = var.common.repository_arns
  kms_key_arn        = var.common.kms_key_arn
  subnet_ids         = var.common.subnet_ids
  security_group_ids = [var.common.role_security_group_ids["monitoring"]]
  log_retention_days = var.common.log_retention_days
  environment = {
    HONGBAO_NAMESPACE = var.namespace
    AWS_REGION        = var.common.region
    PAGE_TOPIC_ARN    = var.topic_arns["page"]
    TICKET_TOPIC_ARN  = var.topic_arns["ticket"]
  }
  statements = [
    { Effect = "Allow", Action = "sns:Publish", Resource = values(var.topic_arns) },
    { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = var.common.kms_key_arn, Condition = { StringEquals = { "kms:ViaService" = "sns.${var.common.region}.amazonaws.com" } } },
  ]

  containers = [
    { name = "prometheus", image = var.common.images["prometheus"], command = [], ports = [9090], work = "/prometheus" },
    { name = "alertmanager", image = var.common.images["alertmanager"], command = [], ports = [9093], work = "/alertmanager" },
    { name = "grafana", image = var.common.images["grafana"], command = [], ports = [3000], work = "/var/lib/grafana" },
  ]

  service = {
    count                   = 1
    discovery_name          = "monitoring"
    namespace_id            = var.common.namespace_id
    minimum_healthy_percent = 0
    maximum_percent         = 100
  }
}

# Grafana and Prometheus have no public door: operators come through a tunnel that ends in the operator's group.
resource "aws_vpc_security_group_ingress_rule" "operator" {
  for_each                     = { grafana = 3000, prometheus = 9090, alertmanager = 9093 }
  security_group_id            = var.common.role_security_group_ids["monitoring"]
  referenced_security_group_id = var.common.role_security_group_ids["operator"]
  description                  = "operators to ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

locals {
  # A service that has fewer tasks than it should have.
  services = { for key, service in merge(var.services, { monitoring = { name = module.process.service_name, count = 1 } }) : "${key}-tasks" => {
    namespace  = "ECS/ContainerInsights"
    metric     = "RunningTaskCount"
    statistic  = "Minimum"
    comparison = "LessThanThreshold"
    threshold  = service.count
    dimensions = { ClusterName = var.cluster_name, ServiceName = service.name }
  } }

  redis = merge([for bucket, id in var.redis_ids : {
    "${bucket}-redis-cpu" = {
      namespace  = "AWS/ElastiCache", metric = "EngineCPUUtilization", statistic = "Maximum", comparison = "GreaterThanThreshold", threshold = 80
      dimensions = { ReplicationGroupId = id }
    }
    "${bucket}-redis-memory" = {
      namespace  = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", statistic = "Maximum", comparison = "GreaterThanThreshold", threshold = 70
      dimensions = { ReplicationGroupId = id }
    }
  }]...)

  mysql = merge([for bucket, id in var.mysql_ids : {
    "${bucket}-mysql-cpu" = {
      namespace  = "AWS/RDS", metric = "CPUUtilization", statistic = "Average", comparison = "GreaterThanThreshold", threshold = 85
      dimensions = { DBInstanceIdentifier = id }
    }
    "${bucket}-mysql-storage" = {
      namespace  = "AWS/RDS", metric = "FreeStorageSpace", statistic = "Minimum", comparison = "LessThanThreshold", threshold = 5368709120
      dimensions = { DBInstanceIdentifier = id }
    }
  }]...)

  balancer = {
    balancer-unhealthy = {
      namespace  = "AWS/NetworkELB", metric = "UnHealthyHostCount", statistic = "Maximum", comparison = "GreaterThanThreshold", threshold = 0
      dimensions = var.balancer_dimensions
    }
    balancer-healthy = {
      namespace  = "AWS/NetworkELB", metric = "HealthyHostCount", statistic = "Minimum", comparison = "LessThanThreshold", threshold = 1
      dimensions = var.balancer_dimensions
    }
  }

  alarms = merge(local.services, local.redis, local.mysql, local.balancer)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.common.name}-${each.key}"
  alarm_description   = "See docs/runbook.md"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = 2
  datapoints_to_alarm = 2
  # Silence is trouble: what measures is gone.
  treat_missing_data = "breaching"
  # The one is for phones, the other for mail.
  actions_enabled = var.started
  alarm_actions   = [var.topic_arns["page"], var.topic_arns["ticket"]]
  ok_actions      = [var.topic_arns["ticket"]]
}
