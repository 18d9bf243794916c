# One bucket: its Redis, its MySQL and its processes. Nothing of it reaches another bucket.

locals {
  id = "${var.common.name}-${var.id}"
  ports = {
    http  = 8080
    spop  = 9000
    admin = 9100
  }
}

resource "aws_security_group" "processes" {
  name_prefix = "${local.id}-processes-"
  description = "services, persist and payout of bucket ${var.id}"
  vpc_id      = var.common.vpc_id
  tags        = { Name = "${local.id}-processes" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "redis" {
  name_prefix = "${local.id}-redis-"
  description = "Redis of bucket ${var.id}"
  vpc_id      = var.common.vpc_id
  tags        = { Name = "${local.id}-redis" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "mysql" {
  name_prefix = "${local.id}-mysql-"
  description = "MySQL of bucket ${var.id}"
  vpc_id      = var.common.vpc_id
  tags        = { Name = "${local.id}-mysql" }

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  groups = var.common.role_security_group_ids
  # Who may open a connection to what: from → to, port. Each becomes a rule at both ends.
  flows = {
    balancer-http    = { from = local.groups["balancer"], to = aws_security_group.processes.id, port = local.ports.http }
    balancer-spop    = { from = local.groups["balancer"], to = aws_security_group.processes.id, port = local.ports.spop }
    balancer-ready   = { from = local.groups["balancer"], to = aws_security_group.processes.id, port = local.ports.admin }
    controller-admin = { from = local.groups["controller"], to = aws_security_group.processes.id, port = local.ports.admin }
    operator-admin   = { from = local.groups["operator"], to = aws_security_group.processes.id, port = local.ports.admin }
    monitoring-admin = { from = local.groups["monitoring"], to = aws_security_group.processes.id, port = local.ports.admin }
    processes-redis  = { from = aws_security_group.processes.id, to = aws_security_group.redis.id, port = 6379 }
    operator-redis   = { from = local.groups["operator"], to = aws_security_group.redis.id, port = 6379 }
    processes-mysql  = { from = aws_security_group.processes.id, to = aws_security_group.mysql.id, port = 3306 }
    operator-mysql   = { from = local.groups["operator"], to = aws_security_group.mysql.id, port = 3306 }
  }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each                     = local.flows
  security_group_id            = each.value.to
  referenced_security_group_id = each.value.from
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each                     = local.flows
  security_group_id            = each.value.from
  referenced_security_group_id = each.value.to
  description                  = "${var.id} ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "apis" {
  security_group_id = aws_security_group.processes.id
  description       = "AWS APIs, and the wallet"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# Cost: two nodes by the hour, and with durability more for each write (docs/costs.md).
resource "aws_elasticache_subnet_group" "this" {
  name       = "${local.id}-${var.common.suffix}"
  subnet_ids = var.common.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  name   = "${local.id}-${var.common.suffix}"
  family = var.redis.family

  # Dropping claims to make room would be losing money.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }

  parameter {
    name  = "cluster-enabled"
    value = "yes"
  }
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id = local.id
  description          = "Hongbao ${local.id}"
  engine               = "valkey"
  engine_version       = var.redis.engine_version
  node_type            = var.redis.node_type
  port                 = 6379

  # A write is answered when it is durable in several zones. This needs cluster mode, TLS, Multi-AZ and a replica. One shard,
  # because all keys of a bucket share a hash tag: who needs more takes more buckets.
  durability                 = "sync"
  cluster_mode               = "enabled"
  num_node_groups            = 1
  replicas_per_node_group    = 1
  automatic_failover_enabled = true
  multi_az_enabled           = true
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = var.common.kms_key_arn
  auth_token_wo              = var.passwords["redis"]
  auth_token_wo_version      = var.passwords_generation

  parameter_group_name       = aws_elasticache_parameter_group.this.name
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.redis.id]
  snapshot_retention_limit   = 1
  final_snapshot_identifier  = "${local.id}-${var.common.suffix}"
  auto_minor_version_upgrade = false
  apply_immediately          = true
}

# Cost: by the hour and by the GB (docs/costs.md).
resource "aws_db_subnet_group" "this" {
  name       = "${local.id}-${var.common.suffix}"
  subnet_ids = var.common.subnet_ids
}

resource "aws_db_parameter_group" "this" {
  name   = "${local.id}-${var.common.suffix}"
  family = "mysql8.4"

  parameter {
    name  = "require_secure_transport"
    value = "ON"
  }

  # A commit that was answered is on disk, here and in the other zone.
  parameter {
    name  = "innodb_flush_log_at_trx_commit"
    value = "1"
  }

  parameter {
    name  = "sync_binlog"
    value = "1"
  }

  parameter {
    name         = "character_set_server"
    value        = "utf8mb4"
    apply_method = "immediate"
  }

  # The pack is loaded by LOAD DATA LOCAL.
  parameter {
    name  = "local_infile"
    value = "1"
  }
}

resource "aws_db_instance" "this" {
  identifier     = local.id
  engine         = "mysql"
  engine_version = "8.4"
  instance_class = var.mysql.instance_class

  username            = "hongbao"
  password_wo         = var.passwords["mysql"]
  password_wo_version = var.passwords_generation
  port                = 3306

  multi_az               = var.mysql.multi_az
  publicly_accessible    = false
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.mysql.id]
  parameter_group_name   = aws_db_parameter_group.this.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  allocated_storage     = var.mysql.storage_gb
  max_allocated_storage = 2 * var.mysql.storage_gb
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = var.common.kms_key_arn

  backup_retention_period         = 7
  copy_tags_to_snapshot           = true
  delete_automated_backups        = false
  deletion_protection             = var.common.deletion_protection
  skip_final_snapshot             = false
  final_snapshot_identifier       = "${local.id}-${var.common.suffix}"
  enabled_cloudwatch_logs_exports = ["error", "slowquery"]
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.common.kms_key_arn
  auto_minor_version_upgrade      = false
  apply_immediately               = true
}

locals {
  # Each role of a bucket with the secrets that it needs (bucket-service/src/frame.ts). Sized for the event, not scaled during it: the burst is over
  # before a new task would be ready.
  roles = {
    grab = merge(var.grab, {
      count   = var.started ? var.grab.count : 0
      ports   = [local.ports.http, local.ports.spop, local.ports.admin]
      secrets = { for name in ["TOKEN", "RECEIPT", "OPERATOR", "SPOP", "REDIS", "MYSQL"] : "HONGBAO_${name}" => var.common.secret_variables["HONGBAO_${name}"] }
    })
    persist = merge(var.persist, {
      count   = var.started ? 1 : 0
      ports   = [local.ports.admin]
      secrets = { for name in ["RECEIPT", "OPERATOR", "REDIS", "MYSQL"] : "HONGBAO_${name}" => var.common.secret_variables["HONGBAO_${name}"] }
    })
    # The one that talks to wallets outside knows least.
    payout = merge(var.payout, {
      count   = var.started ? 1 : 0
      ports   = [local.ports.admin]
      secrets = merge({ for name in ["OPERATOR", "MYSQL"] : "HONGBAO_${name}" => var.common.secret_variables["HONGBAO_${name}"] }, var.payout_secrets)
    })
  }
}

module "process" {
  source   = "../task"
  for_each = local.roles

  name               = "${local.id}-${each.key}"
  region             = var.common.region
  cluster_arn        = var.common.cluster_arn
  cpu                = each.value.cpu
  memory             = each.value.memory
  cpu_architecture   = var.common.cpu_architecture
  environment        = var.common.environment
  secrets            = each.value.secrets
  repository_arns    = var.common.repository_arns
  kms_key_arn        = var.common.kms_key_arn
  subnet_ids         = var.common.subnet_ids
  security_group_ids = [aws_security_group.processes.id]
  log_retention_days = var.common.log_retention_days
  statements         = var.common.read_statements

  containers = [{
    name    = each.key
    image   = var.common.images["node"]
    command = concat(["bucket", "--bucket", var.id, "--roles", each.key], each.key == "grab" ? [] : ["--service", each.key])
    ports   = each.value.ports
    health  = "hongbao-healthy ${local.ports.admin} /livez"
  }]

  service = {
    count          = each.value.count
    discovery_name = "${each.key}-${var.id}"
    namespace_id   = var.common.namespace_id
    # The old one drains first where two of a name would take each other's address. Of one service half a task more is none.
    minimum_healthy_percent = each.key == "grab" ? 100 : 0
    maximum_percent         = each.key != "grab" ? 100 : each.value.count < 2 ? 200 : 150
  }

  depends_on = [
    aws_vpc_security_group_ingress_rule.this,
    aws_vpc_security_group_egress_rule.this,
    aws_elasticache_replication_group.this,
    aws_db_instance.this,
  ]
}
