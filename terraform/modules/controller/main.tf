# Two conductors, each a service of one task, so that each has its own name. Both may run: every action is a conditional write.

locals {
  port = 9100
  ids  = toset(["c0", "c1"])
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each                     = toset(["balancer", "operator", "monitoring", "controller"])
  security_group_id            = var.common.role_security_group_ids["controller"]
  referenced_security_group_id = var.common.role_security_group_ids[each.key]
  description                  = "${each.key} to the admin port of controllers"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each                     = toset(["balancer", "operator", "monitoring", "controller"])
  security_group_id            = var.common.role_security_group_ids[each.key]
  referenced_security_group_id = var.common.role_security_group_ids["controller"]
  description                  = "controllers"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

module "process" {
  source   = "../task"
  for_each = local.ids

  name               = "${var.common.name}-${each.key}"
  region             = var.common.region
  cluster_arn        = var.common.cluster_arn
  cpu                = var.size.cpu
  memory             = var.size.memory
  cpu_architecture   = var.common.cpu_architecture
  environment        = var.common.environment
  secrets            = { HONGBAO_OPERATOR = var.common.secret_variables["HONGBAO_OPERATOR"] }
  repository_arns    = var.common.repository_arns
  kms_key_arn        = var.common.kms_key_arn
  subnet_ids         = var.common.subnet_ids
  security_group_ids = [var.common.role_security_group_ids["controller"]]
  log_retention_days = var.common.log_retention_days
  statements         = concat(var.common.read_statements, var.control_statements)

  containers = [{
    name    = "controller"
    image   = var.common.images["node"]
    command = ["controller", "--id", each.key]
    ports   = [local.port]
    health  = "hongbao-healthy ${local.port} /livez"
  }]

  service = {
    count                   = var.started ? 1 : 0
    discovery_name          = each.key
    namespace_id            = var.common.namespace_id
    minimum_healthy_percent = 0
    maximum_percent         = 100
  }

  depends_on = [aws_vpc_security_group_ingress_rule.this, aws_vpc_security_group_egress_rule.this]
}
