# Commands (preprocess, round, switch, audit, archive) as one-off tasks: a task definition without a service. See docs/operations.md
# for `aws ecs run-task`.

module "process" {
  source = "../task"

  name               = "${var.common.name}-operator"
  region             = var.common.region
  cluster_arn        = var.common.cluster_arn
  cpu                = var.size.cpu
  memory             = var.size.memory
  cpu_architecture   = var.common.cpu_architecture
  environment        = var.common.environment
  secrets            = var.common.secret_variables
  repository_arns    = var.common.repository_arns
  kms_key_arn        = var.common.kms_key_arn
  subnet_ids         = var.common.subnet_ids
  security_group_ids = [var.common.role_security_group_ids["operator"]]
  log_retention_days = var.common.log_retention_days
  statements         = concat(var.common.read_statements, var.operator_statements)

  containers = [{
    name    = "operator"
    image   = var.common.images["node"]
    command = ["status"]
    ports   = []
  }]
}
