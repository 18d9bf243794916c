# What stays between events: the key, the state, DNS and certificates, images, topics with their subscriptions, the archive.
# Cost of all of it at rest: about 5 USD a month (docs/costs.md).

data "aws_caller_identity" "this" {}

locals {
  account_id = data.aws_caller_identity.this.account_id
}

# It stays here because final snapshots and the archive must be readable after the event is gone.
resource "aws_kms_key" "this" {
  description             = "Hongbao: stores, logs, secrets, topics, images, archive"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:aws:iam::${local.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${var.region}:${local.account_id}:*" } }
      },
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
      },
    ]
  })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

# State and archive. Versioned, so that what was overwritten can be had back.
resource "aws_s3_bucket" "kept" {
  for_each      = toset(["state", "archive"])
  bucket_prefix = "${var.name}-${each.key}-"

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "kept" {
  for_each = aws_s3_bucket.kept
  bucket   = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "kept" {
  for_each = aws_s3_bucket.kept
  bucket   = each.value.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "kept" {
  for_each                = aws_s3_bucket.kept
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "kept" {
  for_each = aws_s3_bucket.kept
  bucket   = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [each.value.arn, "${each.value.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.kept]
}

# The domain. Its name servers have to be entered where the domain was bought.
resource "aws_route53_zone" "this" {
  name = var.domain
}

# For the page: CloudFront takes certificates of us-east-1 only. Free.
resource "aws_acm_certificate" "site" {
  region            = "us-east-1"
  domain_name       = "*.${var.domain}"
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

# For HAProxy, which ends TLS itself: an exportable certificate. Cost: by the name, each 198 days.
resource "aws_acm_certificate" "api" {
  domain_name       = "api.${var.domain}"
  validation_method = "DNS"

  options {
    export = "ENABLED"
  }

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  validations = {
    site = one(aws_acm_certificate.site.domain_validation_options)
    api  = one(aws_acm_certificate.api.domain_validation_options)
  }
}

resource "aws_route53_record" "validation" {
  for_each        = toset(["site", "api"])
  zone_id         = aws_route53_zone.this.zone_id
  name            = local.validations[each.key].resource_record_name
  type            = local.validations[each.key].resource_record_type
  records         = [local.validations[each.key].resource_record_value]
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "site" {
  region                  = "us-east-1"
  certificate_arn         = aws_acm_certificate.site.arn
  validation_record_fqdns = [aws_route53_record.validation["site"].fqdn]
}

resource "aws_acm_certificate_validation" "api" {
  certificate_arn         = aws_acm_certificate.api.arn
  validation_record_fqdns = [aws_route53_record.validation["api"].fqdn]
}

# Filled by hand with the exported certificate (docs/operations.md), so its key passes through no state.
resource "aws_secretsmanager_secret" "certificate" {
  name_prefix = "${var.name}/tls-"
  description = "PEM for HAProxy: certificate, chain, key"
  kms_key_id  = aws_kms_key.this.arn
}

module "registry" {
  source      = "../modules/registry"
  names       = [for image in ["node", "haproxy", "prometheus", "alertmanager", "grafana"] : "${var.name}/${image}"]
  kms_key_arn = aws_kms_key.this.arn
}

module "notifications" {
  source          = "../modules/notifications"
  name            = var.name
  account_id      = local.account_id
  kms_key_arn     = aws_kms_key.this.arn
  phone_numbers   = var.phone_numbers
  email_addresses = var.email_addresses
  sms_usd_a_month = var.sms_usd_a_month
}

# A second pair of eyes on the bill: what was forgotten after an event costs by the hour.
resource "aws_budgets_budget" "this" {
  name         = "${var.name}-monthly"
  budget_type  = "COST"
  limit_amount = tostring(var.budget_usd_a_month)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  notification {
    comparison_operator        = "GREATER_THAN"
    threshold                  = 80
    threshold_type             = "PERCENTAGE"
    notification_type          = "ACTUAL"
    subscriber_email_addresses = var.email_addresses
  }
}
