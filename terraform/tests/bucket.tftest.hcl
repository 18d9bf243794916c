# One bucket: its stores are durable, encrypted and its own.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  id        = "b7"
  namespace = "spring.hongbao.internal"
  passwords = { redis = "redis-password-0000", mysql = "mysql-password-0000" }
  redis     = { node_type = "cache.r7g.large" }
  mysql     = { instance_class = "db.r7g.large", storage_gb = 100 }
  grab      = { count = 12, cpu = 2048, memory = 4096 }
  persist   = { count = 1, cpu = 1024, memory = 2048 }
  payout    = { count = 1, cpu = 512, memory = 1024 }
  common = {
    name                    = "hb-spring"
    suffix                  = "2702051200001234"
    region                  = "ap-southeast-1"
    vpc_id                  = "vpc-0"
    subnet_ids              = ["subnet-0", "subnet-1"]
    namespace_id            = "ns-0"
    cluster_arn             = "arn:aws:ecs:ap-southeast-1:123456789012:cluster/hb-spring"
    role_security_group_ids = { load-balancer = "sg-load-balancer", balancer = "sg-balancer", controller = "sg-controller", operator = "sg-operator", monitoring = "sg-monitoring" }
    kms_key_arn             = "arn:aws:kms:ap-southeast-1:123456789012:key/0000"
    images                  = { node = "node:1", haproxy = "haproxy:1" }
    repository_arns         = ["arn:aws:ecr:ap-southeast-1:123456789012:repository/hongbao/node"]
    cpu_architecture        = "X86_64"
    environment             = { HONGBAO_TOPOLOGY = "s3://control/topology.yaml" }
    secret_variables        = { for name in ["token", "receipt", "operator", "spop", "redis", "mysql"] : "HONGBAO_${upper(name)}" => "arn:aws:secretsmanager:ap-southeast-1:123456789012:secret:${name}" }
    read_statements         = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::control/pack/*" }]
    log_retention_days      = 30
    deletion_protection     = true
  }
}

run "not_started" {
  command = plan

  module {
    source = "./modules/bucket"
  }

  variables {
    started = false
  }

  assert {
    condition     = alltrue([for role in local.roles : role.count == 0])
    error_message = "Before there is a pack nothing runs that would need it."
  }
}

run "bucket" {
  variables {
    payout_secrets = { HONGBAO_WALLET = "arn:aws:secretsmanager:ap-southeast-1:123456789012:secret:wallet" }
  }

  assert {
    condition     = join(" ", sort(keys(local.roles["payout"].secrets))) == "HONGBAO_MYSQL HONGBAO_OPERATOR HONGBAO_WALLET"
    error_message = "Payout, which talks to the outside, has its own bucket's MySQL and the wallet's secret, and no other."
  }

  assert {
    condition     = length(local.roles["grab"].secrets) == 6 && !contains(keys(local.roles["persist"].secrets), "HONGBAO_TOKEN") && !contains(keys(local.roles["persist"].secrets), "HONGBAO_WALLET")
    error_message = "Nobody but payout has the wallet's secret; only services have the one of users' tokens."
  }

  assert {
    condition     = aws_db_instance.this.ca_cert_identifier == "rds-ca-rsa2048-g1"
    error_message = "The authority whose roots are in the image (infra/images/Dockerfile)."
  }

  module {
    source = "./modules/bucket"
  }

  assert {
    condition     = aws_elasticache_replication_group.this.durability == "sync" && aws_elasticache_replication_group.this.cluster_mode == "enabled" && aws_elasticache_replication_group.this.multi_az_enabled
    error_message = "Redis answers a write when it is durable in two zones."
  }

  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_mode == "required" && aws_elasticache_replication_group.this.at_rest_encryption_enabled && aws_elasticache_replication_group.this.num_node_groups == 1
    error_message = "Redis is encrypted in flight and at rest, and all keys of a bucket are in one shard."
  }

  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.storage_encrypted && !aws_db_instance.this.publicly_accessible && startswith(aws_db_instance.this.engine_version, "8.4")
    error_message = "MySQL 8.4 in two zones, encrypted, not public."
  }

  assert {
    condition     = anytrue([for parameter in aws_db_parameter_group.this.parameter : parameter.name == "require_secure_transport" && parameter.value == "ON"])
    error_message = "MySQL takes TLS only."
  }

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.final_snapshot_identifier == "hb-spring-b7-2702051200001234"
    error_message = "MySQL is protected, and its last snapshot has a name that no other apply has."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.this : rule.cidr_ipv4 == null && rule.from_port == rule.to_port && rule.ip_protocol == "tcp"])
    error_message = "Nothing of a bucket is reached by address, only by role, and one port each."
  }

  assert {
    condition = alltrue([
      for rule in aws_vpc_security_group_ingress_rule.this : contains([aws_security_group.processes.id, "sg-operator"], rule.referenced_security_group_id)
      if rule.security_group_id == aws_security_group.redis.id || rule.security_group_id == aws_security_group.mysql.id
    ])
    error_message = "The stores are reached by their own bucket's processes and by operators only."
  }

  assert {
    condition = alltrue([
      for rule in aws_vpc_security_group_ingress_rule.this : contains(["sg-controller", "sg-operator", "sg-monitoring", "sg-balancer"], rule.referenced_security_group_id)
      if rule.from_port == 9100
    ])
    error_message = "Admin ports are reached from inside only."
  }

  assert {
    condition     = alltrue([for flow in local.flows : flow.from != "sg-load-balancer"])
    error_message = "The load balancer reaches HAProxy only."
  }

  assert {
    condition     = output.topology.services.discover == "grab-b7.spring.hongbao.internal" && output.topology.redis.cluster && output.topology.redis.tls && output.topology.mysql.tls
    error_message = "Services are found by name; stores are asked in the way that they are made."
  }
}
