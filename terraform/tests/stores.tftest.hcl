# Sizes that the stores' promises need.

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

run "sizes_that_break_a_promise" {
  command = plan

  module {
    source = "./modules/bucket"
  }

  variables {
    redis   = { node_type = "cache.t4g.small" }
    mysql   = { instance_class = "db.r7g.large", storage_gb = 5 }
    grab    = { count = 0, cpu = 2048, memory = 4096 }
    persist = { count = 2, cpu = 1024, memory = 2048 }
  }

  expect_failures = [var.redis, var.mysql, var.grab, var.persist]
}
