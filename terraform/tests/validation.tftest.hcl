# What is refused before anything is made.

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
  }
}

run "wrong_names_and_sizes" {
  command = plan

  module {
    source = "./event"
  }

  variables {
    event              = "Spring-"
    image_tag          = "latest"
    buckets            = { bucket = { redis = { node_type = "cache.r7g.large" }, mysql = { instance_class = "db.r7g.large", storage_gb = 100 }, grab = { count = 2, cpu = 1024, memory = 2048 } } }
    zone_count         = 1
    log_retention_days = 31
    payout_targets     = { wallet = { url = "http://wallet.example.com", secret_arn = "arn:aws:secretsmanager:ap-southeast-1:123456789012:secret:wallet" } }
  }

  expect_failures = [var.event, var.image_tag, var.buckets, var.zone_count, var.log_retention_days, var.payout_targets]
}

run "no_buckets" {
  command = plan

  module {
    source = "./event"
  }

  variables {
    buckets = {}
  }

  expect_failures = [var.buckets]
}
