# The whole event, applied against a provider that only pretends. What is checked is what the cluster's promises need.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  base = {
    region                 = "ap-southeast-1"
    name                   = "hongbao"
    domain                 = "hongbao.example.com"
    zone_id                = "Z0000"
    site_certificate_arn   = "arn:aws:acm:us-east-1:123456789012:certificate/0000"
    certificate_secret_arn = "arn:aws:secretsmanager:ap-southeast-1:123456789012:secret:hongbao/tls-0000"
    kms_key_arn            = "arn:aws:kms:ap-southeast-1:123456789012:key/0000"
    archive_bucket         = "hongbao-archive-0000"
    topic_arns             = { page = "arn:aws:sns:ap-southeast-1:123456789012:hongbao-page", ticket = "arn:aws:sns:ap-southeast-1:123456789012:hongbao-ticket" }
    repository_urls        = { for image in ["node", "haproxy", "prometheus", "alertmanager", "grafana"] : "hongbao/${image}" => "123456789012.dkr.ecr.ap-southeast-1.amazonaws.com/hongbao/${image}" }
  }
  event       = "spring"
  site_folder = "./tests/site"
  image_tag   = "1.0.0"
  balancer    = { count = 2, cpu = 1024, memory = 2048 }
  buckets = {
    b0 = { redis = { node_type = "cache.r7g.large" }, mysql = { instance_class = "db.r7g.large", storage_gb = 100 }, grab = { count = 12, cpu = 2048, memory = 4096 } }
    b1 = { redis = { node_type = "cache.r7g.large" }, mysql = { instance_class = "db.r7g.large", storage_gb = 100 }, grab = { count = 2, cpu = 2048, memory = 4096 } }
  }
}

run "event" {
  module {
    source = "./event"
  }

  variables {
    payout_targets = {
      wallet = { url = "https://wallet.example.com/payouts", secret_arn = "arn:aws:secretsmanager:ap-southeast-1:123456789012:secret:wallet" }
    }
    existing_secrets = { token = "arn:aws:secretsmanager:ap-southeast-1:123456789012:secret:login" }
  }

  assert {
    condition     = length(yamldecode(output.topology).buckets) == 2 && yamldecode(output.topology).buckets[0].slots == [[0, 511]] && yamldecode(output.topology).buckets[1].slots == [[512, 1023]]
    error_message = "Every slot belongs to one bucket, in equal runs."
  }

  assert {
    condition     = alltrue([for secret in values(yamldecode(output.topology).secrets) : keys(secret) == ["env"]])
    error_message = "The topology points to secrets, it does not hold them."
  }

  assert {
    condition     = output.archive_marker == "s3://hongbao-archive-0000/spring/2702051200001234/ARCHIVED"
    error_message = "The marker has the time of the apply in it, so that an older archive does not count."
  }

  assert {
    condition     = yamldecode(output.topology).wallet == { url = "https://wallet.example.com/payouts", secret = { env = "HONGBAO_WALLET" }, timeoutMs = 3000, inFlight = 32 } && !contains(keys(yamldecode(output.topology)), "orders")
    error_message = "The wallet is named, its secret is pointed to."
  }

  assert {
    condition     = yamldecode(output.topology).balancer.discover == "balancer.spring.hongbao.internal"
    error_message = "HAProxys are found by name, too."
  }

  assert {
    condition     = contains(local.operator_statements[*].Resource, "arn:aws:s3:::hongbao-archive-0000/spring/2702051200001234/*") && yamldecode(output.topology).archive == "s3://hongbao-archive-0000/spring/2702051200001234"
    error_message = "Operators' tasks write below the topology's archive, where the marker is looked for."
  }

  assert {
    condition     = toset([for statement in concat(local.control_statements, local.operator_statements, local.common.read_statements) : statement.Resource if contains(flatten([statement.Action]), "s3:DeleteObject")]) == toset(["${module.static_site.bucket_arn}/start/*", "${aws_s3_bucket.control.arn}/control/shadow-of-a-rehearsal-it-never-pays/*"])
    error_message = "Nobody deletes from the conductors' memory, a rehearsal's apart."
  }

  assert {
    condition     = alltrue([for statement in concat(local.control_statements, local.operator_statements, local.common.read_statements) : can(statement.Condition) if anytrue([for action in flatten([statement.Action]) : startswith(action, "kms:")])])
    error_message = "The key is used by way of one service each."
  }

  assert {
    condition     = module.secrets.arns != null && length(module.secrets.arns) == 6
    error_message = "Six different secrets."
  }

  assert {
    condition     = local.secret_variables["HONGBAO_TOKEN"] == "arn:aws:secretsmanager:ap-southeast-1:123456789012:secret:login"
    error_message = "The company's own token secret is used."
  }
}
