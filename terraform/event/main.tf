# One event's cluster: applied hours before, destroyed after the archive is written. `base` has what stays.

locals {
  name = "hb-${var.event}"
  # Tells this apply from the others of the day, for names that are kept (final snapshots) or global: the end of the
  # control bucket's generated name without the century and the counter: yymmddhhmmss and a fraction.
  suffix     = substr(aws_s3_bucket.control.id, -24, 16)
  bucket_ids = sort(keys(var.buckets))

  images = { for image in ["node", "haproxy", "prometheus", "alertmanager", "grafana"] : image => "${var.base.repository_urls["${var.base.name}/${image}"]}:${var.image_tag}" }
  # 123.dkr.ecr.REGION.amazonaws.com/NAME → the ARN that a pull is allowed by
  repository_arns = [for url in values(var.base.repository_urls) : "arn:aws:ecr:${var.base.region}:${split(".", url)[0]}:repository/${join("/", slice(split("/", url), 1, length(split("/", url))))}"]
}

data "aws_availability_zones" "this" {
  state = "available"
}

module "network" {
  source              = "../modules/network"
  name                = local.name
  region              = var.base.region
  cidr                = var.cidr
  zones               = slice(data.aws_availability_zones.this.names, 0, var.zone_count)
  nat_per_zone        = var.nat_per_zone
  interface_endpoints = var.interface_endpoints
  namespace           = "${var.event}.hongbao.internal"
  kms_key_arn         = var.base.kms_key_arn
  log_retention_days  = var.log_retention_days
}

# Cost: container insights by metric; the cluster itself is free.
resource "aws_ecs_cluster" "this" {
  name = local.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

module "secrets" {
  source      = "../modules/secrets"
  name        = local.name
  kms_key_arn = var.base.kms_key_arn
  existing    = var.existing_secrets
  generation  = var.secrets_generation
}

# Topology, pack, and the conductors' memory: small records, written on conditions, with all their versions.
resource "aws_s3_bucket" "control" {
  bucket_prefix = "${local.name}-control-"
  # The archive has what is worth keeping; archived.tf sees to it that it was written.
  force_destroy = true
}

resource "aws_s3_bucket_versioning" "control" {
  bucket = aws_s3_bucket.control.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_public_access_block" "control" {
  bucket                  = aws_s3_bucket.control.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "control" {
  bucket = aws_s3_bucket.control.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.base.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_policy" "control" {
  bucket = aws_s3_bucket.control.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.control.arn, "${aws_s3_bucket.control.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.control]
}

locals {
  # The key opens objects by way of S3 only, and there the bucket's and the prefix's own statements hold.
  by_s3 = { StringEquals = { "kms:ViaService" = "s3.${var.base.region}.amazonaws.com" } }

  # A secret each for those that are named.
  payout_targets = { for name, target in var.payout_targets : name => target if target != null }

  # Each secret of the topology and the environment variable that ECS puts it into.
  secret_variables = { for name, arn in module.secrets.arns : "HONGBAO_${upper(name)}" => arn }

  common = {
    name                    = local.name
    suffix                  = local.suffix
    region                  = var.base.region
    vpc_id                  = module.network.vpc_id
    subnet_ids              = module.network.private_subnet_ids
    namespace_id            = module.network.namespace_id
    cluster_arn             = aws_ecs_cluster.this.arn
    role_security_group_ids = module.network.role_security_group_ids
    kms_key_arn             = var.base.kms_key_arn
    images                  = local.images
    repository_arns         = local.repository_arns
    cpu_architecture        = var.cpu_architecture
    secret_variables        = local.secret_variables
    log_retention_days      = var.log_retention_days
    deletion_protection     = var.deletion_protection

    environment = {
      AWS_REGION       = var.base.region
      HONGBAO_TOPOLOGY = "s3://${aws_s3_bucket.control.id}/topology.yaml"
      # Processes listen on their task's address, whatever name the topology has for it.
      HONGBAO_LISTEN = "0.0.0.0"
    }

    # Every process: the topology, the pack, and who is there.
    read_statements = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = ["${aws_s3_bucket.control.arn}/topology.yaml", "${aws_s3_bucket.control.arn}/pack/*"] },
      { Effect = "Allow", Action = "s3:ListBucket", Resource = aws_s3_bucket.control.arn, Condition = { StringLike = { "s3:prefix" = ["pack/*"] } } },
      { Effect = "Allow", Action = "kms:Decrypt", Resource = var.base.kms_key_arn, Condition = local.by_s3 },
      # This call knows no resources, only the namespace's name.
      { Effect = "Allow", Action = "servicediscovery:DiscoverInstances", Resource = "*", Condition = { StringEquals = { "servicediscovery:NamespaceName" = module.network.namespace } } },
    ]
  }

  # The conductors' memory. Nobody may delete from it.
  control_statements = [
    { Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = "${aws_s3_bucket.control.arn}/control/*" },
    { Effect = "Allow", Action = "s3:ListBucket", Resource = aws_s3_bucket.control.arn, Condition = { StringLike = { "s3:prefix" = ["control/*"] } } },
    { Effect = "Allow", Action = "kms:GenerateDataKey", Resource = var.base.kms_key_arn, Condition = local.by_s3 },
    { Effect = "Allow", Action = "s3:PutObject", Resource = ["${module.static_site.bucket_arn}/start/*", "${module.static_site.bucket_arn}/rounds.json"] },
    # But for the start file of a rehearsal that is over.
    { Effect = "Allow", Action = "s3:DeleteObject", Resource = "${module.static_site.bucket_arn}/start/*" },
  ]

  operator_statements = [
    { Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = ["${aws_s3_bucket.control.arn}/pack/*", "${aws_s3_bucket.control.arn}/input/*", "${aws_s3_bucket.control.arn}/seed/*"] },
    { Effect = "Allow", Action = "s3:ListBucket", Resource = aws_s3_bucket.control.arn, Condition = { StringLike = { "s3:prefix" = ["input/*"] } } },
    # `archive` keeps the conductors' memory; commands write into it through the controllers only.
    { Effect = "Allow", Action = "s3:GetObject", Resource = "${aws_s3_bucket.control.arn}/control/*" },
    { Effect = "Allow", Action = "s3:ListBucket", Resource = aws_s3_bucket.control.arn, Condition = { StringLike = { "s3:prefix" = ["control/*"] } } },
    { Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = "arn:aws:s3:::${var.base.archive_bucket}/${local.archive_prefix}/*" },
    # A rehearsal's records go with it; its name no event may have (SHADOW_EVENT).
    { Effect = "Allow", Action = "s3:DeleteObject", Resource = "${aws_s3_bucket.control.arn}/control/shadow-of-a-rehearsal-it-never-pays/*" },
    # What is there is told apart from what may not be read: an archive that broke off goes on.
    { Effect = "Allow", Action = "s3:ListBucket", Resource = "arn:aws:s3:::${var.base.archive_bucket}", Condition = { StringLike = { "s3:prefix" = ["${local.archive_prefix}/*"] } } },
    { Effect = "Allow", Action = ["sns:Publish", "sns:ListSubscriptionsByTopic"], Resource = values(var.base.topic_arns) },
    # `preflight` reads quotas, how much of them is used, and whether texts go out; these calls know no resources.
    { Effect = "Allow", Action = ["servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota", "cloudwatch:GetMetricStatistics", "sns:GetSMSSandboxAccountStatus"], Resource = "*" },
    { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = var.base.kms_key_arn, Condition = { StringEquals = { "kms:ViaService" = "sns.${var.base.region}.amazonaws.com" } } },
  ]
}

module "bucket" {
  source   = "../modules/bucket"
  for_each = var.buckets

  id                   = each.key
  common               = local.common
  namespace            = module.network.namespace
  passwords            = module.secrets.store_passwords
  passwords_generation = var.secrets_generation
  redis                = each.value.redis
  mysql                = each.value.mysql
  grab                 = each.value.grab
  persist              = each.value.persist
  payout               = each.value.payout
  started              = var.started
  payout_secrets       = { for name, target in local.payout_targets : "HONGBAO_${upper(name)}" => target.secret_arn }
}

module "balancer" {
  source                 = "../modules/balancer"
  common                 = local.common
  public_subnet_ids      = module.network.public_subnet_ids
  zone_id                = var.base.zone_id
  domain                 = local.api_domain
  certificate_secret_arn = var.base.certificate_secret_arn
  size                   = var.balancer
  started                = var.started
}

module "static_site" {
  source          = "../modules/static-site"
  name            = local.name
  suffix          = local.suffix
  region          = var.base.region
  domain          = local.site_domain
  zone_id         = var.base.zone_id
  certificate_arn = var.base.site_certificate_arn
  api             = "https://${local.api_domain}"
  site_folder     = coalesce(var.site_folder, "${path.module}/site")
  media_folder    = var.media_folder
  price_class     = var.price_class
}

module "controller" {
  source             = "../modules/controller"
  common             = local.common
  control_statements = local.control_statements
  size               = var.controller
  started            = var.started
}

module "operator" {
  source              = "../modules/operator"
  common              = local.common
  operator_statements = concat(local.control_statements, local.operator_statements)
  size                = var.operator
}

module "monitoring" {
  source              = "../modules/monitoring"
  common              = local.common
  namespace           = module.network.namespace
  topic_arns          = var.base.topic_arns
  cluster_name        = aws_ecs_cluster.this.name
  redis_ids           = { for id, bucket in module.bucket : id => bucket.store_ids["redis"] }
  mysql_ids           = { for id, bucket in module.bucket : id => bucket.store_ids["mysql"] }
  balancer_dimensions = module.balancer.alarm_dimensions
  size                = var.monitoring
  started             = var.started

  services = merge(
    { balancer = { name = module.balancer.service_name, count = var.balancer.count } },
    { for id, name in module.controller.service_names : id => { name = name, count = 1 } },
    merge([for id in local.bucket_ids : { for role in ["grab", "persist", "payout"] : "${id}-${role}" => {
      name  = module.bucket[id].service_names[role]
      count = role == "grab" ? var.buckets[id].grab.count : 1
    } }]...),
  )
}
